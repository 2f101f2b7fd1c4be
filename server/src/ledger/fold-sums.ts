import type { DecisionView } from './decision-view.ts';
import type { FoldBounds } from './fold-size.ts';
import { entranceNumber, outcomeNumber } from './outcome.ts';
import { type KeySums, type Level, SubjectTable, type Tally } from './subjects.ts';
import { type WindowAmount, WindowSums } from './window-sums.ts';

const hourMs = 3_600_000;
const minuteMs = 60_000;
const valid = outcomeNumber('VALID');
const management = entranceNumber('management');
const caller = entranceNumber('caller');

/** Decisions of one hour, added up for the database. */
export class FoldSums {
  readonly #subjects = new SubjectTable();
  readonly #windows: WindowSums;
  readonly #bounds: FoldBounds;
  #records = 0;
  #hour = 0;

  /** @param nowSeconds windows of limits that are over by then are left out */
  constructor(nowSeconds: number, bounds: FoldBounds) {
    this.#windows = new WindowSums(nowSeconds);
    this.#bounds = bounds;
  }

  get records(): number {
    return this.#records;
  }

  /** Since 1970, in which all of them lie. */
  get hour(): number {
    return this.#hour;
  }

  levels(): Iterable<Level> {
    return this.#subjects.levels();
  }

  keys(): Iterable<KeySums> {
    return this.#subjects.keys();
  }

  windows(): Iterable<WindowAmount> {
    return this.#windows.amounts();
  }

  /** @returns false for one that does not belong here, being of another hour or too much; it begins the next sums */
  add(view: DecisionView): boolean {
    const hour = Math.floor(view.timeMs / hourMs);
    if (this.#records === 0) this.#hour = hour;
    else if (hour !== this.#hour || this.#isFull()) return false;
    this.#records++;
    const subject = this.#subjects.of(view);
    this.#windows.add(view, subject);
    noteUse(subject.key, view);
    if (view.entrance === caller) return true;
    const { account, issuer, organization } = subject;
    const key = tallyKey(view);
    count(subject.tallies, key, view.cost);
    count(account.tallies, key, view.cost);
    if (issuer !== null) count(issuer.tallies, key, view.cost);
    if (organization !== null) count(organization.tallies, key, view.cost);
    if (view.entrance !== management) noteEvent(subject.key, view);
    return true;
  }

  #isFull(): boolean {
    const { records, subjects, windows } = this.#bounds;
    return this.#records >= records || this.#subjects.size >= subjects || this.#windows.size >= windows;
  }
}

// What sets decisions of one level apart in its usage: outcome (lower byte), management and sandbox (a bit each).
const managementBit = 256;
const sandboxBit = 512;

function tallyKey({ outcome, entrance, isSandbox }: DecisionView): number {
  return outcome | (entrance === management ? managementBit : 0) | (isSandbox ? sandboxBit : 0);
}

/** What a tally's key says. */
export function readTallyKey(key: number): { outcome: number; isManagement: boolean; isSandbox: boolean } {
  return {
    outcome: key & 255,
    isManagement: (key & managementBit) !== 0,
    isSandbox: (key & sandboxBit) !== 0,
  };
}

/** They are few: as many as there are ways a level's decisions come out within an hour. */
function count(tallies: Tally[], key: number, cost: number): void {
  for (const tally of tallies) {
    if (tally.key !== key) continue;
    tally.count++;
    tally.cost += cost;
    return;
  }
  tallies.push({ key, count: 1, cost });
}

function noteUse(key: KeySums, { outcome, timeMs }: DecisionView): void {
  if (outcome === valid && (key.lastUsedMs === null || key.lastUsedMs < timeMs)) key.lastUsedMs = timeMs;
}

function noteEvent(key: KeySums, { outcome, timeMs, isSandbox }: DecisionView): void {
  const minute = Math.floor(timeMs / minuteMs);
  // The last minute's are the last in the list.
  for (let at = key.events.length - 1; at >= 0; at--) {
    const event = key.events[at]!;
    if (event.outcome !== outcome || event.minute !== minute) continue;
    event.count++;
    if (timeMs > event.lastMs) event.lastMs = timeMs;
    if (timeMs < event.firstMs) event.firstMs = timeMs;
    return;
  }
  key.events.push({ outcome, minute, isSandbox, firstMs: timeMs, lastMs: timeMs, count: 1 });
}
