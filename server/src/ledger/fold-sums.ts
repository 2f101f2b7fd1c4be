import { idPrefixes } from '../ids/ids.ts';
import type { LevelKind } from '../limits/limits.ts';
import { absent, type DecisionView } from './decision-view.ts';
import { idBytes, unpackId } from './id-bytes.ts';
import { textOf } from './id-text.ts';
import { entranceNumber, outcomeNumber } from './outcome.ts';
import { type RepeatedCharges, WindowSums } from './window-sums.ts';

/** Bounds of what is written at once; a statement stays far from its timeout, and memory small. */
export interface FoldBounds {
  readonly records: number;
  readonly subjects: number;
  readonly windows: number;
}

const usualBounds: FoldBounds = { records: 50_000, subjects: 5_000, windows: 10_000 };

/** How many decisions of one subject came out how, see `tallyKey`. */
export interface Tally {
  readonly key: number;
  count: number;
  cost: number;
}

/** Whom usage is told of, see the table usage_buckets. */
export interface UsageLevel {
  readonly kind: LevelKind;
  readonly id: string;
  readonly accountId: string;
  /** What it lies in; of a key: the organization that it acted for. */
  readonly issuerId: string | null;
  readonly organizationId: string | null;
  readonly tallies: Tally[];
}

/** Decisions of one key that came out alike in the same minute. */
export interface EventTally {
  readonly outcome: number;
  readonly minute: number;
  readonly isSandbox: boolean;
  firstMs: number;
  lastMs: number;
  count: number;
}

/** One key, whomever it acted for. */
export interface KeySums {
  readonly id: string;
  readonly accountId: string;
  readonly issuerId: string | null;
  /** When it last passed, in Unix milliseconds; null where it never did. */
  lastUsedMs: number | null;
  readonly events: EventTally[];
}

/** A key as it acts for one organization, or for none, with what it lies in. */
interface SubjectSums extends UsageLevel, RepeatedCharges {
  readonly key: KeySums;
  readonly above: readonly UsageLevel[];
}

const hourMs = 3_600_000;
const minuteMs = 60_000;
const valid = outcomeNumber('VALID');
const management = entranceNumber('management');
const caller = entranceNumber('caller');

/**
 * Adds up decisions of one hour for the database. Takes half a microsecond for each: the bytes of its ids are looked up
 * as they are, and what has been added up stands where that leads.
 */
export class FoldSums {
  readonly windows: WindowSums;
  readonly #bounds: FoldBounds;
  /** By the bytes of their ids. */
  readonly #subjects = new Map<string, SubjectSums>();
  readonly #levels = new Map<string, UsageLevel>();
  readonly #keys = new Map<string, KeySums>();
  #records = 0;
  #hour = 0;

  /** @param nowSeconds windows of limits that are over by then are left out */
  constructor(nowSeconds: number, bounds: FoldBounds = usualBounds) {
    this.windows = new WindowSums(nowSeconds);
    this.#bounds = bounds;
  }

  get records(): number {
    return this.#records;
  }

  /** Since 1970, in which all of them lie. */
  get hour(): number {
    return this.#hour;
  }

  /** @returns false for one that does not belong here, being of another hour or too much; it begins the next sums */
  add(view: DecisionView): boolean {
    const hour = Math.floor(view.timeMs / hourMs);
    if (this.#records === 0) this.#hour = hour;
    else if (hour !== this.#hour || this.#isFull()) return false;
    this.#records++;
    const subject = this.#subjectOf(view);
    this.windows.add(view, subject);
    noteUse(subject.key, view);
    if (view.entrance === caller) return true;
    const key = tallyKey(view);
    count(subject.tallies, key, view.cost);
    for (const level of subject.above) count(level.tallies, key, view.cost);
    if (view.entrance !== management) noteEvent(subject.key, view);
    return true;
  }

  *levels(): Generator<UsageLevel> {
    yield* this.#subjects.values();
    yield* this.#levels.values();
  }

  keys(): IterableIterator<KeySums> {
    return this.#keys.values();
  }

  #isFull(): boolean {
    const { records, subjects, windows } = this.#bounds;
    return this.#records >= records || this.#subjects.size >= subjects || this.windows.size >= windows;
  }

  #subjectOf(view: DecisionView): SubjectSums {
    const text = subjectText(view);
    let subject = this.#subjects.get(text);
    if (subject === undefined) {
      subject = this.#begin(view);
      this.#subjects.set(text, subject);
    }
    return subject;
  }

  #begin({ buffer, keyAt, accountAt, issuerAt, organizationAt }: DecisionView): SubjectSums {
    // The ids follow each other, so that a level's with those of what it lies in are one piece.
    const idsUpTo = (at: number) => textOf(buffer, accountAt, at + idBytes);
    const account = this.#levelOf(idsUpTo(accountAt), () => {
      const id = unpackId(idPrefixes.account, buffer, accountAt);
      return { kind: 'account', id, accountId: id, issuerId: null, organizationId: null, tallies: [] };
    });
    const { accountId } = account;
    const above = [account];
    if (issuerAt !== absent) {
      const id = () => unpackId(idPrefixes.issuer, buffer, issuerAt);
      above.push(
        this.#levelOf(idsUpTo(issuerAt), () => ({ ...account, kind: 'issuer', id: id(), tallies: [] })),
      );
    }
    const issuerId = above[1]?.id ?? null;
    if (organizationAt !== absent) {
      const id = () => unpackId(idPrefixes.organization, buffer, organizationAt);
      above.push(
        this.#levelOf(`${idsUpTo(organizationAt)}/`, () => ({
          ...account,
          kind: 'organization',
          id: id(),
          issuerId,
          tallies: [],
        })),
      );
    }
    const key = this.#keyOf(textOf(buffer, keyAt, accountAt + idBytes), () => ({
      id: unpackId(idPrefixes.apiKey, buffer, keyAt),
      accountId,
      issuerId,
      lastUsedMs: null,
      events: [],
    }));
    const organizationId = organizationAt === absent ? null : above.at(-1)!.id;
    const { id } = key;
    return { kind: 'key', id, accountId, issuerId, organizationId, tallies: [], key, above, last: null };
  }

  #levelOf(text: string, make: () => UsageLevel): UsageLevel {
    return getOrMake(this.#levels, text, make);
  }

  #keyOf(text: string, make: () => KeySums): KeySums {
    return getOrMake(this.#keys, text, make);
  }
}

function getOrMake<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

/** A key as it acts for one organization, or for none: the bytes of the ids of key, account, issuer and organization. */
export function subjectText({ buffer, keyAt, accountAt, issuerAt, organizationAt }: DecisionView): string {
  if (organizationAt !== absent) {
    const text = textOf(buffer, keyAt, organizationAt + idBytes);
    // No organization is without an issuer; if it were, it would not be taken for one.
    return issuerAt === absent ? `${text}?` : text;
  }
  return textOf(buffer, keyAt, (issuerAt === absent ? accountAt : issuerAt) + idBytes);
}

// What sets decisions of one subject apart in its usage: outcome (lower byte), management and sandbox (a bit each).
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

/** They are few: as many as there are ways a subject's decisions come out within an hour. */
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
