import { isDeepStrictEqual } from 'node:util';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { AppError } from '../errors.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { callLookup } from '../postgres/lookup.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { SharedReads } from '../sessions/shared-reads.ts';
import type { Freshness } from '../verification/freshness.ts';
import type { RecordCache } from '../verification/record-cache.ts';
import { type ClientLookupRow, type ClientRecord, toClientRecord, weightOf } from './client-record.ts';
import { verifyClientSecret } from './client-secret.ts';
import { StrangerTurns } from './stranger-turns.ts';

const mostClients = 10_000;
const mostBytes = 64 * 1024 * 1024;

/** Who asks for what there is none of is told so from memory for this long. */
const unknownForMs = 500;
const mostUnknowns = 10_000;

interface Dependencies {
  pool: pg.Pool;
  /** For what has changed: its own records, and what these tell of. */
  cache: RecordCache;
  freshness: Freshness;
  secrets: InstallationSecrets;
  nowMs: () => number;
}

/** A record, and the epoch (of `RecordCache`) up to which it is known to hold. */
interface Held {
  readonly record: ClientRecord;
  validAt: number;
}

/**
 * Finds clients by issuer and id: in memory while that can be trusted, else in Postgres, else (Postgres out of reach) in
 * what memory still has, for as long as the settings allow.
 *
 * A change of the client, its secrets, its issuer or its account holds on this node when the call that made it returns,
 * and within a second on every node: `RecordCache.forget` is told of it. A record is believed as long as nothing that it
 * tells of has changed since its read began; no change has to find it.
 */
export class ClientDirectory {
  readonly #deps: Dependencies;
  readonly #held = new LRUCache<string, Held>({
    max: mostClients,
    maxSize: mostBytes,
    sizeCalculation: ({ record }) => weightOf(record),
  });
  readonly #unknown: LRUCache<string, true>;
  /** One read at a time of each client; who joins gets none that began before it asked. */
  readonly #reads = new SharedReads<ClientRecord | null>();
  readonly #strangers = new StrangerTurns();
  /**
   * How many reads have gone past memory. A slow read that began while memory was trusted and ends after such a one may be
   * the older of the two: kept, it would bring back what that one has shown to be gone.
   */
  #readsPastMemory = 0;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#unknown = new LRUCache({ max: mostUnknowns, ttl: unknownForMs, perf: { now: deps.nowMs } });
  }

  /** How many clients memory holds. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * The client of this id in this issuer, whatever its status and that of what is above it; null when there is none, or
   * it is deleted. What can't be an id costs no SQL. Answers at once, without a promise, on a hit.
   *
   * @param accountId whose turn it takes where memory does not know the client; an issuer stands for itself unless given
   * @throws unavailable (503) when neither Postgres nor memory can answer, also where too many strangers wait already
   */
  find(
    issuerId: string,
    clientId: string,
    accountId = issuerId,
  ): ClientRecord | null | Promise<ClientRecord | null> {
    if (!isId(idPrefixes.client, clientId)) return null;
    if (this.#deps.freshness.isFresh()) {
      const held = this.#heldOf(clientId);
      if (held !== undefined) return ofIssuer(held, issuerId);
      if (this.#unknown.has(`${issuerId} ${clientId}`)) return null;
    }
    return this.#read(issuerId, clientId, accountId);
  }

  /** Whether this is a secret of the client that works now; in constant time. A public client has none. */
  verifySecret(client: ClientRecord, presented: string): boolean {
    return verifyClientSecret(client, presented, {
      secrets: this.#deps.secrets,
      nowMs: this.#deps.nowMs(),
    });
  }

  /** What memory holds and nothing has changed of; it is known to hold up to now, then. */
  #heldOf(clientId: string): ClientRecord | undefined {
    const held = this.#held.get(clientId);
    if (held === undefined) return undefined;
    if (this.#deps.cache.hasChangedSince(held.validAt, namesOf(held.record))) {
      this.#held.delete(clientId);
      return undefined;
    }
    held.validAt = this.#deps.cache.epoch;
    return held.record;
  }

  async #read(issuerId: string, clientId: string, accountId: string): Promise<ClientRecord | null> {
    const { freshness } = this.#deps;
    const state = freshness.isFresh() ? 'fresh' : await freshness.state();
    if (state === 'unavailable') throw unavailable();
    const held = () => {
      const record = this.#heldOf(clientId);
      return record && ofIssuer(record, issuerId);
    };
    if (state === 'stale') return held() ?? Promise.reject(unavailable());
    try {
      const isTrusted = state === 'fresh';
      return await this.#reads.read(`${isTrusted} ${issuerId} ${clientId}`, (begins) =>
        this.#inTurn({ accountId, issuerId, clientId }, () => {
          begins();
          return this.#load(issuerId, clientId, isTrusted);
        }),
      );
    } catch (cause) {
      if (!isUnavailable(cause)) throw cause;
      // Postgres went away under the read. What memory holds serves on only once freshness says that it may.
      const record = (await freshness.state()) === 'stale' ? held() : undefined;
      if (record == null) throw unavailable(cause);
      return record;
    }
  }

  #inTurn<T>(
    { accountId, issuerId, clientId }: { accountId: string; issuerId: string; clientId: string },
    work: () => Promise<T>,
  ): Promise<T> {
    return this.#held.has(clientId) ? work() : this.#strangers.run({ accountId, issuerId }, work);
  }

  async #load(issuerId: string, clientId: string, isTrusted: boolean): Promise<ClientRecord | null> {
    // Whoever was before us in the line may have read it.
    const held = isTrusted ? this.#heldOf(clientId) : undefined;
    if (held !== undefined) return ofIssuer(held, issuerId);
    const { epoch } = this.#deps.cache;
    const readsPastMemory = this.#readsPastMemory;
    const [row] = await callLookup<ClientLookupRow>(this.#deps.pool, 'lookup_client_v2', [
      issuerId,
      clientId,
    ]);
    const record = row === undefined ? null : toClientRecord(row);
    if (!isTrusted) this.#supersede(issuerId, clientId, record);
    else if (record === null) this.#unknown.set(copyOf(`${issuerId} ${clientId}`), true);
    else if (readsPastMemory === this.#readsPastMemory) this.#held.set(record.id, { record, validAt: epoch });
    return record;
  }

  /** Drops what a read past memory has shown to be out of date; what still agrees serves on should Postgres go away. */
  #supersede(issuerId: string, clientId: string, read: ClientRecord | null): void {
    this.#readsPastMemory++;
    const held = this.#held.peek(clientId)?.record;
    if (held !== undefined && held.issuerId === issuerId && !isDeepStrictEqual(held, read))
      this.#deps.cache.forget({ kind: 'client', id: clientId });
  }
}

function ofIssuer(record: ClientRecord, issuerId: string): ClientRecord | null {
  return record.issuerId === issuerId ? record : null;
}

function namesOf({ id, issuerId, accountId }: ClientRecord): readonly string[] {
  return [id, issuerId, accountId];
}

/** A part of a text keeps the whole of it in memory: here the head of a stranger's request. */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

function unavailable(cause?: unknown): AppError {
  return new AppError('unavailable', { headers: { 'Retry-After': '1' }, cause });
}
