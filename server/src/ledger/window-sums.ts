import type { Environment } from '../key-profiles/key-profile.ts';
import { type CounterPeriod, windowOfPeriod } from '../limits/counter-period.ts';
import type { CounterAmount, LevelKind } from '../limits/limits.ts';
import { windowAt } from '../limits/window.ts';
import type { Charge } from './charge.ts';
import type { DecisionView } from './decision-view.ts';
import { outcomeNumber } from './outcome.ts';
import type { Level, Subject } from './subjects.ts';

/** What has been used of a limit in the newest of its windows that a decision was charged to. */
export interface WindowAmount extends CounterAmount {
  readonly accountId: string;
}

/** The same while it is added up. */
export interface WindowSum {
  readonly kind: LevelKind;
  readonly id: string;
  readonly accountId: string;
  readonly environment: Environment;
  readonly name: string;
  readonly period: CounterPeriod;
  windowStart: number;
  amount: number;
}

/** What the bytes of charges mean. */
export interface ReadCharges {
  readonly bytes: Uint8Array;
  /** For decisions of these times; Unix milliseconds, the last not included. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** `cost` is null for that of the record. */
  readonly parts: readonly { sum: WindowSum; windowStart: number; cost: number | null }[];
}

const valid = outcomeNumber('VALID');

/**
 * Adds up what decisions were charged, in any order: of each limit what was used in its newest window. Windows that are
 * over count for nothing any more and are left out.
 */
export class WindowSums {
  readonly #nowSeconds: number;
  readonly #sums: WindowSum[] = [];

  constructor(nowSeconds: number) {
    this.#nowSeconds = nowSeconds;
  }

  /** How many limits. */
  get size(): number {
    return this.#sums.length;
  }

  /** Of every limit what `add` has added up. */
  amounts(): readonly WindowAmount[] {
    return this.#sums;
  }

  add(view: DecisionView, subject: Subject): void {
    if (view.chargesAt === view.chargesEnd || view.outcome !== valid) return;
    let read = subject.lastCharges;
    if (read === null || !isRepeated(view, read)) {
      read = this.#read(view, subject);
      subject.lastCharges = read;
    }
    for (const { sum, windowStart, cost } of read.parts) {
      if (sum.windowStart === windowStart) sum.amount += cost ?? view.cost;
      else if (sum.windowStart < windowStart) {
        sum.windowStart = windowStart;
        sum.amount = cost ?? view.cost;
      }
    }
  }

  #read(view: DecisionView, subject: Subject): ReadCharges {
    const { buffer, chargesAt, chargesEnd, timeMs } = view;
    const environment = view.isSandbox ? 'sandbox' : 'live';
    const parts: { sum: WindowSum; windowStart: number; cost: number | null }[] = [];
    let fromMs = 0;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const charge of view.charges()) {
      const { period, windowStart, cost } = charge;
      const window = windowOfPeriod(period);
      const isOver = window !== null && windowAt(window, windowStart * 1000).end <= this.#nowSeconds;
      const level = levelOf(subject, charge.level.kind);
      if (!isOver && level !== null) {
        const sum = this.#sumOf(level, charge, environment);
        parts.push({ sum, windowStart, cost: cost === view.cost ? null : cost });
      }
      if (window === null) continue;
      // Where the start is the time's own, the bytes of a decision in the next window are the same.
      const span = windowAt(window, timeMs);
      if (!isOver) fromMs = Math.max(fromMs, span.start * 1000);
      const present = windowAt(window, this.#nowSeconds * 1000).start;
      untilMs = Math.min(untilMs, (isOver ? Math.max(present, span.start) : span.end) * 1000);
    }
    return { bytes: new Uint8Array(buffer.subarray(chargesAt, chargesEnd)), fromMs, untilMs, parts };
  }

  /** They are few, so that looking through them is the quickest. */
  #sumOf(
    { id, accountId, windows }: Pick<Level, 'id' | 'accountId' | 'windows'>,
    { level: { kind }, name, period, windowStart }: Charge,
    environment: Environment,
  ): WindowSum {
    for (const known of windows)
      if (known.name === name && known.period === period && known.environment === environment) return known;
    const sum = { kind, id, accountId, environment, name, period, windowStart, amount: 0 };
    windows.push(sum);
    this.#sums.push(sum);
    return sum;
  }
}

function isRepeated({ buffer, chargesAt, chargesEnd, timeMs }: DecisionView, read: ReadCharges): boolean {
  const { bytes, fromMs, untilMs } = read;
  if (timeMs < fromMs || timeMs >= untilMs || bytes.length !== chargesEnd - chargesAt) return false;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== buffer[chargesAt + at]) return false;
  }
  return true;
}

/** null for one that the decision does not name; no record is written that was charged to such. */
function levelOf(subject: Subject, kind: LevelKind): Pick<Level, 'id' | 'accountId' | 'windows'> | null {
  return kind === 'key' ? subject.lineage : subject[kind];
}
