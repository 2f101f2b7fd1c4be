import { type CounterPeriod, counterPeriods, isQuotaPeriod, windowOfPeriod } from './counter-period.ts';
import type { CounterAmount, LevelKind, LevelName } from './limits.ts';
import { type WindowSpan, windowAt } from './window.ts';

/** What one limit has used up in the newest window it has counted in. */
export interface Counter {
  readonly name: string;
  readonly period: CounterPeriod;
  start: number;
  end: number;
  used: number;
  next: Counter | null;
}

/** What a request takes from one limit. */
interface CounterUse {
  readonly name: string;
  readonly period: CounterPeriod;
  readonly windowStart: number;
  readonly cost: number;
}

/** The counters of one level: a list, since they are few. */
export interface LevelCounters extends LevelName {
  first: Counter | null;
  /** How many there are. */
  length: number;
  /** Where it stands in the list that is searched for what has expired. */
  slot: number;
}

/**
 * How many counters of one level are read back. Nobody comes near it but who renames limits all the time, and each that
 * is read is looked for among those that were.
 */
const maxRead = 512;

/** How long a counter is kept after its window: a clock that is set back by less finds all as it was. */
const keptSeconds = 60;

/**
 * Counters in memory: one for each limit that has been used in a window that has not ended, nothing for the others. A
 * level with two of them takes 320 bytes.
 *
 * A counter knows the newest window it has counted in and never goes back to an older one. What ended a minute ago is
 * dropped, a few at a time; the end of that window is remembered, so that a clock that is set back by more does not
 * begin it again.
 */
export class CounterTable {
  readonly #levels = {
    live: levelMaps(),
    sandbox: levelMaps(),
  };
  /** All of them, and when the last counter of each ends: plain numbers in a row, quick to search. */
  readonly #slots: LevelCounters[] = [];
  readonly #ends: number[] = [];
  #cursor = 0;
  /** The end of the newest window of each period that was dropped; no counter begins before it. */
  readonly #floors = Object.fromEntries(counterPeriods.map((period) => [period, 0])) as Record<
    CounterPeriod,
    number
  >;

  /** How many levels have counters. */
  get size(): number {
    return this.#slots.length;
  }

  /** The counters of a level that has any. */
  find({ kind, id, environment }: LevelName): LevelCounters | null {
    return this.#levels[environment][kind].get(id) ?? null;
  }

  /** Where a limit without a counter begins to count: in the present window, unless that was dropped already. */
  begin(period: CounterPeriod, present: WindowSpan): WindowSpan {
    const floor = this.#floors[period];
    return floor <= present.start ? present : { start: floor, end: endOf(period, floor) };
  }

  /** Counts. What falls into a window older than the newest that its counter knows is forgotten. */
  count(level: LevelName, use: CounterUse, end: number, nowSeconds: number): void {
    const counters = this.find(level) ?? this.#addLevel(level);
    let counter = findCounter(counters, use.name, use.period);
    if (counter === null) {
      // A level whose limits are renamed again and again does not grow.
      this.#dropExpiredOf(counters, nowSeconds);
      const { name, period, windowStart } = use;
      counter = { name, period, start: windowStart, end, used: 0, next: null };
      put(counters, counter);
    } else if (counter.start < use.windowStart) {
      counter.start = use.windowStart;
      counter.end = end;
      counter.used = 0;
    } else if (counter.start > use.windowStart) return;
    counter.used += use.cost;
    if (counter.end > this.#ends[counters.slot]!) this.#ends[counters.slot] = counter.end;
  }

  /** Takes off again what was counted, unless its window is over. */
  giveBack(level: LevelName, { name, period, windowStart, cost }: CounterUse): void {
    const counter = findCounter(this.find(level), name, period);
    if (counter !== null && counter.start === windowStart) counter.used = Math.max(0, counter.used - cost);
  }

  /**
   * Adds what a record says has been used, in any order. Of a level that has counters without number some are left out.
   *
   * @throws RangeError when it can't be true: a damaged record is not to be taken for a little use
   */
  add(record: CounterAmount): void {
    const { name, period, windowStart, amount: cost } = record;
    if (!isCount(cost) || !isCount(windowStart) || !isStart(period, windowStart)) {
      throw new RangeError(`no ${period} counts ${cost} from ${windowStart} on`);
    }
    const counters = this.find(record);
    const isDropped = windowStart < this.#floors[period];
    const isTooMuch = counters !== null && counters.length >= maxRead;
    if ((isDropped || isTooMuch) && findCounter(counters, name, period) === null) return;
    this.count(
      record,
      { name, period, windowStart, cost },
      endOf(period, windowStart),
      Number.NEGATIVE_INFINITY,
    );
  }

  /** What stands in the windows that end after a moment, such that adding it to an empty table makes the same. */
  *amounts(afterSeconds: number): Generator<CounterAmount> {
    for (const { kind, id, environment, first } of this.#slots) {
      for (let counter = first; counter !== null; counter = counter.next) {
        const { name, period, start, used, end } = counter;
        if (end > afterSeconds)
          yield { kind, id, environment, name, period, windowStart: start, amount: used };
      }
    }
  }

  /** Looks at a few levels, a few further ones at the next call, and drops those of which every window ended a minute ago. */
  dropExpired(nowSeconds: number, most: number): void {
    for (let looked = 0; looked < most && this.#slots.length > 0; looked++) {
      if (this.#cursor >= this.#slots.length) this.#cursor = 0;
      if (this.#ends[this.#cursor]! + keptSeconds > nowSeconds) this.#cursor++;
      else {
        const counters = this.#slots[this.#cursor]!;
        this.#dropExpiredOf(counters, nowSeconds);
        this.#drop(counters);
      }
    }
  }

  /** Drops those counters of a level that are not of a limit that is kept. */
  keepOnly(counters: LevelCounters, isKept: (name: string, period: CounterPeriod) => boolean): void {
    let counter = counters.first;
    counters.first = null;
    counters.length = 0;
    while (counter !== null) {
      const { next } = counter;
      if (isKept(counter.name, counter.period)) put(counters, counter);
      counter = next;
    }
  }

  /** Drops the counters of a level, of which nothing will be asked any more. */
  forget(level: LevelName): void {
    const counters = this.find(level);
    if (counters !== null) this.#drop(counters);
  }

  #addLevel({ kind, id, environment }: LevelName): LevelCounters {
    const counters = { kind, id, environment, first: null, length: 0, slot: this.#slots.length };
    this.#levels[environment][kind].set(id, counters);
    this.#slots.push(counters);
    this.#ends.push(0);
    return counters;
  }

  #drop(counters: LevelCounters): void {
    this.#levels[counters.environment][counters.kind].delete(counters.id);
    const last = this.#slots.pop()!;
    const lastEnd = this.#ends.pop()!;
    if (last === counters) return;
    last.slot = counters.slot;
    this.#slots[last.slot] = last;
    this.#ends[last.slot] = lastEnd;
  }

  #dropExpiredOf(counters: LevelCounters, nowSeconds: number): void {
    let counter = counters.first;
    counters.first = null;
    counters.length = 0;
    while (counter !== null) {
      const { next } = counter;
      if (counter.end + keptSeconds <= nowSeconds) this.#remember(counter);
      else put(counters, counter);
      counter = next;
    }
  }

  #remember({ period, end }: Counter): void {
    if (end > this.#floors[period]) this.#floors[period] = end;
  }
}

/** Of this name and period, if it has counted yet. */
export function findCounter(
  counters: LevelCounters | null,
  name: string,
  period: CounterPeriod,
): Counter | null {
  let counter = counters === null ? null : counters.first;
  while (counter !== null && (counter.name !== name || counter.period !== period)) counter = counter.next;
  return counter;
}

function put(counters: LevelCounters, counter: Counter): void {
  counter.next = counters.first;
  counters.first = counter;
  counters.length++;
}

function levelMaps(): Record<LevelKind, Map<string, LevelCounters>> {
  return { key: new Map(), organization: new Map(), issuer: new Map(), account: new Map() };
}

function endOf(period: CounterPeriod, startSeconds: number): number {
  const window = windowOfPeriod(period);
  return window === null ? Number.POSITIVE_INFINITY : windowAt(window, startSeconds * 1000).end;
}

function isStart(period: CounterPeriod, seconds: number): boolean {
  const window = windowOfPeriod(period);
  // Credits begin to count whenever they are set.
  return window === null || isQuotaPeriod(period) || windowAt(window, seconds * 1000).start === seconds;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
