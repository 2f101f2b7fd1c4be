import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import type { DatabaseLog } from '../postgres/log.ts';
import { callLookup } from '../postgres/lookup.ts';
import { BloomFilter } from './bloom-filter.ts';

/** A page has to be here within the time that a look-up may take, and must not hold up the event loop. */
const pageSize = 5_000;
const firstPauseMs = 100;
const longestPauseMs = 5_000;
const rememberedOwnBatches = 1_000;

/** What came of asking whether some key was imported. */
export type FilterAnswer = 'negative' | 'hit' | 'false_positive' | 'unready';

type DigestRow = pg.QueryResultRow & { digest: Buffer };

/**
 * Knows which digests can't be those of imported keys, so that a made-up key costs no SQL: no check part tells it from
 * one that another system has made.
 *
 * Ready, it holds every digest whose import this node has heard of. It is not ready until all of them are loaded after
 * each connect of the change feed (between two connections announcements are lost), and while it reads the digests of
 * an import it was told of. The announcement of an import is taken note of before anything later is trusted, as that of
 * any change (`startChangeFeed`), so a filter that is ready lags no further behind than memory does.
 *
 * Keys that are deleted stay in it until it is loaded anew.
 */
export class ImportedKeys {
  readonly #pool: pg.Pool;
  readonly #log: DatabaseLog;
  readonly #closing = new AbortController();
  readonly #answers: Record<FilterAnswer, number> = { negative: 0, hit: 0, false_positive: 0, unready: 0 };
  /** Imports that this node carried out itself, which it need not read. */
  readonly #ownBatches = new LRUCache<string, true>({ max: rememberedOwnBatches });
  #filter = new BloomFilter();
  /** Counts the loads; one that is not the last has been overtaken. */
  #loads = 0;
  #isLoaded = false;
  /** How many imports of an account are being read. */
  readonly #pending = new Map<string, number>();
  readonly #unread: { batch: string; accountId: string }[] = [];
  #isReading = false;

  constructor({ pool, log }: { pool: pg.Pool; log: DatabaseLog }) {
    this.#pool = pool;
    this.#log = log;
  }

  /** Whether `mayHold` may be believed of every account. */
  get isReady(): boolean {
    return this.#isLoaded && this.#pending.size === 0;
  }

  /**
   * Whether `mayHold` may be believed when it says no of this account's keys; memory has to be fresh besides. Who imports
   * all the time makes nobody else's unknown keys cost a look-up.
   */
  isReadyFor(accountId: string): boolean {
    return this.#isLoaded && !this.#pending.has(accountId);
  }

  /** How many digests are known. */
  get size(): number {
    return this.#filter.size;
  }

  /** How often each answer was given, for metrics. */
  get answers(): Readonly<Record<FilterAnswer, number>> {
    return this.#answers;
  }

  /** Whether this may be the digest of an imported key; for sure not, where it says no and is ready. */
  mayHold(digest: Uint8Array): boolean {
    return this.#filter.mayHave(digest);
  }

  count(answer: FilterAnswer): void {
    this.#answers[answer]++;
  }

  /** This node has imported keys: they hold when the call returns. For `afterCommit`. */
  learn(batch: string, digests: readonly Uint8Array[]): void {
    this.#ownBatches.set(batch, true);
    for (const digest of digests) this.#filter.add(digest);
  }

  /**
   * Some node has imported keys. Not ready for this account from this moment until their digests are here. One batch is
   * read after the other: they share few connections with everybody's keys.
   */
  onImport(batch: string, accountId: string): void {
    if (this.#ownBatches.has(batch)) return;
    this.#pending.set(accountId, (this.#pending.get(accountId) ?? 0) + 1);
    this.#unread.push({ batch, accountId });
    if (!this.#isReading) void this.#readAll();
  }

  /** Announcements may have been lost: not ready from this moment until every digest is read again. */
  reload(): void {
    this.#isLoaded = false;
    // A new one, which loses the keys that are gone. What is announced while it fills goes into it too.
    this.#filter = new BloomFilter();
    void this.#load(++this.#loads);
  }

  /** Ends what is under way. Never ready again. */
  close(): void {
    this.#closing.abort();
    this.#loads++;
    this.#isLoaded = false;
  }

  async #load(load: number): Promise<void> {
    const isOvertaken = () => load !== this.#loads;
    let after: Uint8Array = Buffer.alloc(0);
    for (;;) {
      const page = await this.#insist('lookup_imported_digests', [after, pageSize], isOvertaken);
      if (page === null) return;
      for (const digest of page) this.#filter.add(digest);
      if (page.length < pageSize) break;
      after = page.at(-1)!;
    }
    this.#isLoaded = true;
  }

  async #readAll(): Promise<void> {
    this.#isReading = true;
    for (let next = this.#unread.shift(); next !== undefined; next = this.#unread.shift()) {
      await this.#readBatch(next.batch);
      const left = (this.#pending.get(next.accountId) ?? 1) - 1;
      if (left === 0) this.#pending.delete(next.accountId);
      else this.#pending.set(next.accountId, left);
    }
    this.#isReading = false;
  }

  async #readBatch(batch: string): Promise<void> {
    const digests = await this.#insist('lookup_import_batch', [batch], () => false);
    // Into the filter of this moment: a load that has begun meanwhile may have passed where they stand.
    for (const digest of digests ?? []) this.#filter.add(digest);
  }

  /** Asks until there is an answer; null where nobody wants it any more. */
  async #insist(lookup: string, values: unknown[], isOvertaken: () => boolean): Promise<Uint8Array[] | null> {
    for (let failures = 0; ; ) {
      try {
        const rows = await callLookup<DigestRow>(this.#pool, lookup, values);
        return isOvertaken() ? null : rows.map(({ digest }) => digest);
      } catch (error) {
        if (isOvertaken() || this.#closing.signal.aborted) return null;
        failures++;
        const reason = error instanceof Error ? error.message : String(error);
        if (failures === 5) this.#log.error({ reason }, 'the digests of imported keys could not be read');
      }
      const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
      const isOver = await delay(pauseMs, false, { signal: this.#closing.signal, ref: false }).catch(
        () => true,
      );
      if (isOver || isOvertaken()) return null;
    }
  }
}
