import { idPrefixes } from '../ids/ids.ts';
import type { LevelKind } from '../limits/limits.ts';
import { absent, type DecisionView } from './decision-view.ts';
import { idBytes, unpackId } from './id-bytes.ts';
import type { ReadCharges, WindowSum } from './window-sums.ts';

/** How many decisions came out the same way, and what they cost. */
export interface Tally {
  /** What sets them apart from others of the same level. */
  readonly key: number;
  count: number;
  cost: number;
}

/** Whom usage is told of and limits apply to: an account, an issuer, an organization; or a key as it acts for one. */
export interface Level {
  readonly kind: LevelKind;
  readonly id: string;
  readonly accountId: string;
  /** What it lies in; of a key: the organization that it acted for. */
  readonly issuerId: string | null;
  readonly organizationId: string | null;
  readonly tallies: Tally[];
  readonly windows: WindowSum[];
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

/** A key as it acts for one organization, or for none. */
export interface Subject extends Level {
  readonly key: KeySums;
  readonly account: Level;
  readonly issuer: Level | null;
  readonly organization: Level | null;
  /** All that whose rotations lead to the key; it has windows and no usage of its own. */
  readonly lineage: Pick<Level, 'id' | 'accountId' | 'windows'>;
  /** What the last of its decisions was charged: the next is most likely charged alike. */
  lastCharges: ReadCharges | null;
}

/**
 * Whom decisions are about, found by the bytes of their ids: these are unpacked for the first decision of each only,
 * and what is counted of them stands where they lead to.
 */
export class SubjectTable {
  readonly #subjects = new Map<string, Subject>();
  readonly #levels = new Map<string, Level>();
  readonly #keys = new Map<string, KeySums>();
  readonly #lineages = new Map<string, Subject['lineage']>();

  get size(): number {
    return this.#subjects.size;
  }

  /** Of all kinds. */
  *levels(): Generator<Level> {
    yield* this.#subjects.values();
    yield* this.#levels.values();
  }

  keys(): IterableIterator<KeySums> {
    return this.#keys.values();
  }

  of(view: DecisionView): Subject {
    const text = textOfSubject(view);
    return this.#subjects.get(text) ?? this.#add(text, view);
  }

  #add(text: string, view: DecisionView): Subject {
    const { buffer, keyAt, accountAt, issuerAt, organizationAt, lineageAt } = view;
    // The ids follow each other, so that a level's with those of what it lies in are one piece.
    const upTo = (at: number) => textOf(buffer, accountAt, at + idBytes);
    const account = getOrMake(this.#levels, upTo(accountAt), () => {
      const id = unpackId(idPrefixes.account, buffer, accountAt);
      return levelOf('account', id, { accountId: id, issuerId: null, organizationId: null });
    });
    const { accountId } = account;
    const issuer =
      issuerAt === absent
        ? null
        : getOrMake(this.#levels, upTo(issuerAt), () => {
            const id = unpackId(idPrefixes.issuer, buffer, issuerAt);
            return levelOf('issuer', id, { accountId, issuerId: null, organizationId: null });
          });
    const issuerId = issuer?.id ?? null;
    const organization =
      organizationAt === absent
        ? null
        : getOrMake(this.#levels, `${upTo(organizationAt)}/`, () => {
            const id = unpackId(idPrefixes.organization, buffer, organizationAt);
            return levelOf('organization', id, { accountId, issuerId, organizationId: null });
          });
    const key = getOrMake(this.#keys, textOf(buffer, keyAt, accountAt + idBytes), () => ({
      id: unpackId(idPrefixes.apiKey, buffer, keyAt),
      accountId,
      issuerId,
      lastUsedMs: null,
      events: [],
    }));
    const lineage = getOrMake(this.#lineages, textOf(buffer, lineageAt, lineageAt + idBytes), () => ({
      id: lineageAt === keyAt ? key.id : unpackId(idPrefixes.apiKey, buffer, lineageAt),
      accountId,
      windows: [],
    }));
    const place = { accountId, issuerId, organizationId: organization?.id ?? null };
    const subject: Subject = {
      ...levelOf('key', key.id, place),
      key,
      account,
      issuer,
      organization,
      lineage,
      lastCharges: null,
    };
    this.#subjects.set(text, subject);
    return subject;
  }
}

function levelOf(
  kind: LevelKind,
  id: string,
  place: Pick<Level, 'accountId' | 'issuerId' | 'organizationId'>,
): Level {
  const { accountId, issuerId, organizationId } = place;
  return { kind, id, accountId, issuerId, organizationId, tallies: [], windows: [] };
}

function textOfSubject({ buffer, keyAt, accountAt, issuerAt, organizationAt }: DecisionView): string {
  if (organizationAt === absent)
    return textOf(buffer, keyAt, (issuerAt === absent ? accountAt : issuerAt) + idBytes);
  const text = textOf(buffer, keyAt, organizationAt + idBytes);
  // No organization is without an issuer; if it were, it would not be taken for one.
  return issuerAt === absent ? `${text}/` : text;
}

/** Bytes as text, a character a byte. */
function textOf(buffer: Buffer, at: number, end: number): string {
  return buffer.toString('latin1', at, end);
}

function getOrMake<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
