import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { digestOfImport, hashOfSecret } from '../api-keys/imported-hash.ts';
import { digestKeySecret, hasValidCheck } from '../api-keys/key-secret.ts';
import { AppError } from '../errors.ts';
import { AccountSlots } from '../limits/account-slots.ts';
import { ConcurrencyLimit } from '../limits/concurrency-limit.ts';
import { callLookup } from '../postgres/lookup.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Freshness } from './freshness.ts';
import type { ImportedKeys } from './imported-keys.ts';
import { IssuerLanes, laneOf, type NamedBy } from './issuer-lanes.ts';
import {
  type IssuerRow,
  type KeyRow,
  type OrganizationRow,
  toIssuerRecord,
  toKeyRecord,
  toOrganizationRecord,
} from './lookup-rows.ts';
import { OriginHints } from './origin-hints.ts';
import { namesOfIssuer, namesOfKey, namesOfTenant, type RecordCache } from './record-cache.ts';
import type { IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';

const rememberedUnknowns = 10_000;

/**
 * Connections for the look-ups of verification alone, on top of the pool for requests of the management API: however
 * busy that one is, keys are verified and readiness is told.
 */
export const lookupConnections = 6;

/** Preflights, which need no key; apart from issuers: who floods one must not keep the other waiting. */
const limitsOfPreflights = { concurrent: 1, waiting: 200, waitMs: 500 };
/** Keys that nobody can tell from imported ones while the filter of those is not ready. */
const limitsOfUnready = { concurrent: 2, waiting: 200, waitMs: 500 };

interface Dependencies {
  pool: pg.Pool;
  cache: RecordCache;
  freshness: Freshness;
  secrets: InstallationSecrets;
  imported: ImportedKeys;
}

/**
 * Finds keys, issuers and tenants: in memory while the cache can be trusted, else in Postgres, else (Postgres out of
 * reach) in what memory still has, for as long as the settings allow.
 *
 * Answers at once on a hit, without a promise, which is what keeps the hot path free of waiting. Everything throws
 * `unavailable` (503) when neither Postgres nor memory can answer.
 */
export class KeyDirectory {
  readonly #deps: Dependencies;
  readonly #digestKeyOf: (generation: number) => string | undefined;
  readonly #checkKeyOf: (generation: number) => Buffer | undefined;
  readonly #inFlight = new Map<string, Begun<unknown>>();
  /**
   * How many reads have gone past memory. A slow fill that began while memory was trusted and ends after such a read
   * may be the older of the two: kept, it would bring back what that read has shown to be revoked.
   */
  #readsPastMemory = 0;
  /** How many reads have begun. */
  #readsBegun = 0;
  /** Digests and issuer ids that Postgres does not know. Both are random, so nobody can name one before it exists. */
  readonly #unknown = new LRUCache<string, true>({ max: rememberedUnknowns });
  readonly #issuers = new IssuerLanes();
  readonly #preflights = new ConcurrencyLimit(limitsOfPreflights);
  readonly #unready = new ConcurrencyLimit(limitsOfUnready);
  /** Any holder of a key may name tenants that there are none of, each a read: no account gets all connections. */
  readonly #tenantSlots = new AccountSlots(lookupConnections);
  readonly #originHints = new OriginHints((issuerId, candidates) =>
    this.#preflights.run(() => this.#selectOrigin(issuerId, candidates)),
  );
  #epochOfHints = 0;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#digestKeyOf = (generation) => deps.secrets.hexKey('api-key-digest', generation);
    this.#checkKeyOf = (generation) => deps.secrets.key('api-key-check', generation);
  }

  /** The name under which a key is held; null for what can't be a secret of ours. It never changes for a secret. */
  digestOf(secret: string): string | null {
    return digestKeySecret(secret, this.#digestKeyOf);
  }

  /**
   * The key of this secret, or null when there is none. A made-up secret is turned away without any SQL.
   *
   * @param digest `digestOf(secret)`, where the caller has it already
   */
  find(secret: string, digest = this.digestOf(secret)): KeyRecord | null | Promise<KeyRecord | null> {
    if (digest === null) return null;
    const isFresh = this.#deps.freshness.isFresh();
    if (isFresh) {
      const record = this.#deps.cache.key(digest);
      if (record !== undefined) return record;
    }
    // Only what memory does not know has to prove that this installation made it.
    if (!hasValidCheck(secret, this.#checkKeyOf)) return null;
    if (isFresh && this.#unknown.has(digest)) return null;
    return this.#read({
      name: `key ${digest}`,
      held: () => this.#deps.cache.key(digest),
      load: () => this.#select<KeyRow & pg.QueryResultRow>('lookup_api_key_v3', [Buffer.from(digest, 'hex')]),
      build: toKeyRecord,
      namesOf: (record) => namesOfKey(digest, record),
      keep: (record, epoch) => this.#deps.cache.keepKey(digest, record, epoch),
      supersede: (record) => this.#deps.cache.supersedeKey(digest, record),
      remember: () => this.#unknown.set(digest, true),
    });
  }

  /**
   * As `find` and then `findImported`: what verify and authorize accept. Nothing else does, so that nobody manages an
   * account with a key that another system has made.
   */
  findOrImported(secret: string, accountId: string): KeyRecord | null | Promise<KeyRecord | null> {
    const found = this.find(secret);
    if (found instanceof Promise) return found.then((key) => key ?? this.findImported(secret, accountId));
    return found ?? this.findImported(secret, accountId);
  }

  /**
   * The key that this account has imported by the hash of this secret, or null when there is none. It costs no SQL where
   * the filter of imported keys says no. What is not found is asked again next time: the hash may be imported any time.
   *
   * @throws unavailable (503) also where the filter is not ready and too many wait for such an answer already
   */
  findImported(secret: string, accountId: string): KeyRecord | null | Promise<KeyRecord | null> {
    const { cache, freshness, imported, secrets } = this.#deps;
    // Where nobody has imported anything, a key that nobody knows is spared the hashes.
    if (imported.size === 0 && freshness.isFresh() && imported.isReadyFor(accountId)) {
      imported.count('negative');
      return null;
    }
    const keyHash = hashOfSecret(secret);
    const isFresh = freshness.isFresh();
    const isReady = isFresh && imported.isReadyFor(accountId);
    const possible: Buffer[] = [];
    for (const { key } of secrets.generations('api-key-digest')) {
      const digest = digestOfImport(key, accountId, keyHash);
      const held = cache.key(digest.toString('hex'));
      if (held !== undefined && isFresh) return held;
      // What memory holds first: while Postgres is away it serves on, and nothing after it can be asked for.
      if (held !== undefined) possible.unshift(digest);
      else if (!isReady || imported.mayHold(digest)) possible.push(digest);
      else imported.count('negative');
    }
    return possible.length === 0 ? null : this.#readImported(possible, isReady);
  }

  async #readImported(digests: readonly Buffer[], isReady: boolean): Promise<KeyRecord | null> {
    const { cache, imported } = this.#deps;
    for (const digest of digests) {
      const name = digest.toString('hex');
      const held = () => cache.key(name);
      const load = () => this.#select<KeyRow & pg.QueryResultRow>('lookup_api_key_v3', [digest]);
      const record = await this.#read({
        name: `key ${name}`,
        held,
        load: () => (isReady || held() !== undefined ? load() : this.#unready.run(load)),
        build: toKeyRecord,
        namesOf: (key) => namesOfKey(name, key),
        keep: (key, epoch) => cache.keepKey(name, key, epoch),
        supersede: (key) => cache.supersedeKey(name, key),
        remember: () => {},
      });
      if (record !== null) {
        imported.count('hit');
        return record;
      }
      imported.count(isReady ? 'false_positive' : 'unready');
    }
    return null;
  }

  /**
   * The issuer of this id, or null when there is none. Anybody may name one, so those that memory has never heard of
   * are looked up few at a time, and nobody waits for those who need less to name one.
   *
   * @throws unavailable (503) also where too many wait for that already
   */
  findIssuer(id: string, namedBy: NamedBy = 'stranger'): IssuerRecord | null | Promise<IssuerRecord | null> {
    if (this.#deps.freshness.isFresh()) {
      const record = this.#deps.cache.issuer(id);
      if (record !== undefined) return record;
      if (this.#unknown.has(id)) return null;
    }
    const held = () => this.#deps.cache.issuer(id);
    const load = () => this.#select<IssuerRow & pg.QueryResultRow>('lookup_issuer_v2', [id]);
    return this.#read({
      name: `${id} ${laneOf(namedBy)}`,
      held,
      load: () => (held() === undefined ? this.#issuers.run(namedBy, load) : load()),
      build: toIssuerRecord,
      namesOf: namesOfIssuer,
      keep: (record, epoch) => this.#deps.cache.keepIssuer(record, epoch),
      supersede: (record) => this.#deps.cache.supersedeIssuer(id, record),
      remember: () => this.#unknown.set(copyOf(id), true),
    });
  }

  /**
   * The organization that a request calls by its id or by the account's own name for it. What is not found is asked
   * again next time: the account chooses external ids, so one may come to exist after it was asked for.
   */
  findTenant(issuerId: string, name: string): OrganizationRecord | null | Promise<OrganizationRecord | null> {
    if (this.#deps.freshness.isFresh()) {
      const record = this.#deps.cache.tenant(issuerId, name);
      if (record !== undefined) return record;
    }
    const held = () => this.#deps.cache.tenant(issuerId, name);
    const load = () =>
      this.#select<OrganizationRow & pg.QueryResultRow>('lookup_organization_v2', [issuerId, name]);
    const accountId = () => this.#deps.cache.issuer(issuerId)?.account.id ?? issuerId;
    return this.#read({
      name: `tenant ${issuerId} ${name}`,
      held,
      load: () => (held() === undefined ? this.#tenantSlots.run(accountId(), load) : load()),
      build: toOrganizationRecord,
      namesOf: namesOfTenant,
      keep: (record, epoch) => this.#deps.cache.keepTenant(issuerId, name, record, epoch),
      supersede: (record) => this.#deps.cache.supersedeTenant(issuerId, name, record),
      remember: () => {},
    });
  }

  /**
   * Whether some usable key of the issuer may be used from this origin; for preflights. Up to two seconds old where
   * another node has made a key meanwhile.
   *
   * @throws unavailable (503) also where too many wait for such an answer already
   */
  mayUseOrigin(issuerId: string, candidates: readonly string[]): Promise<boolean> {
    const { epoch } = this.#deps.cache;
    if (epoch !== this.#epochOfHints) this.#originHints.clear();
    this.#epochOfHints = epoch;
    return this.#originHints.mayUse(issuerId, candidates);
  }

  /** This node has made a key, of which no notice tells. */
  forgetOriginHints(): void {
    this.#originHints.clear();
  }

  async #read<Row, T>(ask: Ask<Row, T>): Promise<T | null> {
    const { freshness } = this.#deps;
    const arrivedAt = this.#deps.cache.epoch;
    const arrivedAfterRead = this.#readsBegun;
    const state = freshness.isFresh() ? 'fresh' : await freshness.state();
    if (state === 'unavailable') throw unavailable();
    if (state === 'stale') return ask.held() ?? Promise.reject(unavailable());
    try {
      for (;;) {
        const { read, isJoined } = this.#loadOnce(ask, state === 'fresh');
        const found = await read.promise;
        // The second time round at the latest: what is under way then began after the request came.
        const isOutdone = arrivedAt > read.epoch && read.readsPastMemory !== this.#readsPastMemory;
        // No notice tells of what is made: a read that began before this request came may have been too early to find it.
        if (found === null && isJoined && read.readId <= arrivedAfterRead) continue;
        if (!isOutdone && this.#mayAnswer(ask, read.epoch, found, arrivedAt)) return found;
      }
    } catch (cause) {
      if (!isUnavailable(cause)) throw cause;
      // Postgres went away under the read. What memory holds serves on only once freshness says that it may.
      const held = (await freshness.state()) === 'stale' ? ask.held() : undefined;
      if (held === undefined) throw unavailable(cause);
      return held;
    }
  }

  /**
   * Whether what a read found answers a request that may have come after the read began. The request may know of every
   * change up to its arrival. A read that began no earlier has seen them all. An older one, which the request joined,
   * has seen all that matter if nothing that its answer tells of has changed since it began; which things those are
   * only the answer says, so this is asked afterwards. Of nothing found, only no change at all says so: a tenant's
   * name, for one, may have come to be another organization's meanwhile.
   */
  #mayAnswer<Row, T>(ask: Ask<Row, T>, beganAt: number, found: T | null, arrivedAt: number): boolean {
    if (beganAt >= arrivedAt) return true;
    return found !== null && !this.#deps.cache.hasChangedSince(beganAt, ask.namesOf(found));
  }

  /**
   * One read for all who ask at the same time, whatever else changes meanwhile: whoever writes a lot would otherwise
   * multiply the reads for everybody's keys. Who joins asks `#mayAnswer` whether the answer is recent enough for it.
   */
  #loadOnce<Row, T>(ask: Ask<Row, T>, keepsResult: boolean): { read: Begun<T>; isJoined: boolean } {
    const { epoch } = this.#deps.cache;
    const readsPastMemory = this.#readsPastMemory;
    const name = `${keepsResult} ${ask.name}`;
    const running = this.#inFlight.get(name);
    // Nor does anyone join a read that began before one past memory ended: that one may have shown more.
    if (keepsResult && running !== undefined && running.readsPastMemory === readsPastMemory)
      return { read: running as Begun<T>, isJoined: true };
    const promise = ask
      .load()
      .then((row) => {
        const record = row === undefined ? null : ask.build(row);
        if (!keepsResult) {
          this.#readsPastMemory++;
          ask.supersede(record);
          return record;
        }
        if (record === null) {
          ask.remember();
          return null;
        }
        return readsPastMemory === this.#readsPastMemory ? ask.keep(record, epoch) : record;
      })
      .finally(() => {
        if (this.#inFlight.get(name) === begun) this.#inFlight.delete(name);
      });
    const begun: Begun<T> = { readId: ++this.#readsBegun, epoch, readsPastMemory, promise };
    if (keepsResult) this.#inFlight.set(name, begun);
    return { read: begun, isJoined: false };
  }

  async #selectOrigin(issuerId: string, candidates: readonly string[]): Promise<boolean> {
    const row = await this.#select<{ lookup_origin_of_issuer: boolean }>('lookup_origin_of_issuer', [
      issuerId,
      candidates,
    ]);
    return row?.lookup_origin_of_issuer === true;
  }

  async #select<Row extends pg.QueryResultRow>(lookup: string, values: unknown[]): Promise<Row | undefined> {
    const rows = await callLookup<Row>(this.#deps.pool, lookup, values);
    return rows[0];
  }
}

/** A read under way, and how far things had come when it began. */
interface Begun<T> {
  /** Counts up. */
  readId: number;
  epoch: number;
  readsPastMemory: number;
  promise: Promise<T | null>;
}

/** One thing to be found: how memory holds it, how Postgres is asked, and what is made of the answer. */
interface Ask<Row, T> {
  name: string;
  held(): T | undefined;
  load(): Promise<Row | undefined>;
  build(row: Row): T;
  /** Every id (and digest) that the record tells of. */
  namesOf(record: T): readonly (string | undefined)[];
  keep(record: T, epoch: number): T;
  /** Takes from memory what this read, made while memory could not be trusted, has shown to be out of date. */
  supersede(record: T | null): void;
  /** Postgres knows of none. */
  remember(): void;
}

/** A part of a text keeps the whole of it in memory: here the head of a stranger's request, of many kilobytes. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

function unavailable(cause?: unknown): AppError {
  return new AppError('unavailable', { headers: { 'Retry-After': '1' }, cause });
}
