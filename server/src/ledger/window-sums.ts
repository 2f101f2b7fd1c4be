import { idPrefixes } from '../ids/ids.ts';
import { windowOfPeriod } from '../limits/counter-period.ts';
import type { CounterAmount, LevelKind } from '../limits/limits.ts';
import { windowAt } from '../limits/window.ts';
import type { Charge } from './charge.ts';
import { absent, type DecisionView } from './decision-view.ts';
import { idBytes } from './id-bytes.ts';
import { idOfText, textOf } from './id-text.ts';
import { outcomeNumber } from './outcome.ts';

/** What has been used of a limit in the newest of its windows that a decision was charged to. */
export interface WindowAmount extends CounterAmount {
  readonly accountId: string;
}

interface Counter extends Omit<WindowAmount, 'windowStart' | 'amount'> {
  windowStart: number;
  amount: number;
}

/** Decisions of one key are charged alike for as long as their windows are the same: what that was, once. */
export interface RepeatedCharges {
  last: ReadCharges | null;
}

interface ReadCharges {
  readonly bytes: Uint8Array;
  /** Of decisions of these times the bytes mean the same; Unix milliseconds, the last not included. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** null for the cost of the record. */
  readonly parts: readonly { counter: Counter; windowStart: number; cost: number | null }[];
}

const prefixes = {
  key: idPrefixes.apiKey,
  organization: idPrefixes.organization,
  issuer: idPrefixes.issuer,
  account: idPrefixes.account,
} as const satisfies Record<LevelKind, string>;
const valid = outcomeNumber('VALID');

/**
 * Adds up what decisions were charged, in any order: of each limit what was used in its newest window. Windows that are
 * over count for nothing any more and are left out.
 */
export class WindowSums {
  readonly #nowSeconds: number;
  readonly #counters = new Map<string, Counter>();

  constructor(nowSeconds: number) {
    this.#nowSeconds = nowSeconds;
  }

  /** How many limits. */
  get size(): number {
    return this.#counters.size;
  }

  /** @param repeated of the decision's key; the same for all its decisions */
  add(view: DecisionView, repeated: RepeatedCharges): void {
    if (view.chargesAt === view.chargesEnd || view.outcome !== valid) return;
    let read = repeated.last;
    if (read === null || !isRepeated(view, read)) {
      read = this.#read(view);
      repeated.last = read;
    }
    for (const { counter, windowStart, cost } of read.parts) {
      if (counter.windowStart === windowStart) counter.amount += cost ?? view.cost;
      else if (counter.windowStart < windowStart) {
        counter.windowStart = windowStart;
        counter.amount = cost ?? view.cost;
      }
    }
  }

  /** Of every limit what `add` has added up. */
  amounts(): IterableIterator<WindowAmount> {
    return this.#counters.values();
  }

  #read(view: DecisionView): ReadCharges {
    const { buffer, chargesAt, chargesEnd, timeMs } = view;
    const parts: { counter: Counter; windowStart: number; cost: number | null }[] = [];
    let fromMs = 0;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const charge of view.charges()) {
      const window = windowOfPeriod(charge.period);
      const isOver = window !== null && windowAt(window, charge.windowStart * 1000).end <= this.#nowSeconds;
      const at = subjectAt(view, charge.level.kind);
      if (!isOver && at !== absent) {
        const cost = charge.cost === view.cost ? null : charge.cost;
        parts.push({ counter: this.#counterOf(view, charge, at), windowStart: charge.windowStart, cost });
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

  #counterOf(
    view: DecisionView,
    { level: { kind }, name, period, windowStart }: Charge,
    at: number,
  ): Counter {
    const subject = textOf(view.buffer, at, at + idBytes);
    const account = textOf(view.buffer, view.accountAt, view.accountAt + idBytes);
    const environment = view.isSandbox ? 'sandbox' : 'live';
    const key = `${account}${subject}${kind} ${environment} ${period} ${name}`;
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = {
        accountId: idOfText(idPrefixes.account, account),
        kind,
        id: idOfText(prefixes[kind], subject),
        environment,
        name,
        period,
        windowStart,
        amount: 0,
      };
      this.#counters.set(key, counter);
    }
    return counter;
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

/** Where the id of the level stands; no record is written that lacks one it was charged to. */
function subjectAt(view: DecisionView, kind: LevelKind): number {
  switch (kind) {
    case 'key':
      return view.lineageAt;
    case 'organization':
      return view.organizationAt;
    case 'issuer':
      return view.issuerAt;
    case 'account':
      return view.accountAt;
  }
}
