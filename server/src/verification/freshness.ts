import type pg from 'pg';
import type { ChangeFeed } from '../postgres/change-feed.ts';
import { PrimaryProbe } from '../postgres/primary-probe.ts';

/**
 * What may be done with records held in memory:
 * - `fresh`: believe them.
 * - `read-through`: Postgres is reached, but changes do not arrive; read from it and do not ask memory.
 * - `stale`: Postgres is not reached; go on with what memory has, and say so.
 * - `unavailable`: neither; answer 503.
 */
export type FreshnessMode = 'fresh' | 'read-through' | 'stale' | 'unavailable';

const probeTimeoutMs = 300;
const probeIntervalMs = 250;

/**
 * Decides whether memory can be believed. Together with the change feed it keeps this promise: a change committed at
 * T holds on this node by T + 1 s, unless the node cannot reach Postgres.
 *
 * - While fresh, memory lags at most 750 ms behind (`startChangeFeed`).
 * - While not fresh, Postgres itself is asked, with look-ups that end after 700 ms (`callLookup`).
 * - Only a probe that has failed lets memory serve beyond that. A full pool, a slow query or dead connections in the
 *   pool are no reason: the probe then takes a connection of its own. While Postgres is away it is probed again and
 *   again in the background, so that no request waits for it, and the first success ends the staleness.
 *
 * A read in `read-through` tells more than memory knows: what it finds has to replace the record that memory holds,
 * or a key that was already refused would be accepted again when Postgres goes away next.
 */
export class Freshness {
  readonly #probe: PrimaryProbe;
  readonly #changeFeed: Pick<ChangeFeed, 'trustedUntilMs'>;
  readonly #staleMs: number;
  readonly #clock: () => number;
  readonly #startedAtMs: number;
  #isReached = true;
  #probedAtMs = Number.NEGATIVE_INFINITY;
  #probing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * @param options.staleSeconds how long memory may serve without Postgres, counted from the last fresh moment
   * @param options.clock the feed's clock, monotonic milliseconds; `performance.now` by default
   */
  constructor(options: {
    pool: pg.Pool;
    changeFeed: Pick<ChangeFeed, 'trustedUntilMs'>;
    staleSeconds: number;
    clock?: () => number;
  }) {
    this.#probe = new PrimaryProbe(options.pool);
    this.#changeFeed = options.changeFeed;
    this.#staleMs = options.staleSeconds * 1000;
    this.#clock = options.clock ?? (() => performance.now());
    this.#startedAtMs = this.#clock();
  }

  /** Whether memory can be believed at this moment. One comparison, for the hot path. */
  isFresh(): boolean {
    return this.#clock() < this.#changeFeed.trustedUntilMs;
  }

  /**
   * What to do when `isFresh` says no, or when a read has failed. Waits for a probe (at most 300 ms) where Postgres was
   * reached last time; answers at once while it is known to be away.
   */
  async state(): Promise<FreshnessMode> {
    if (this.isFresh()) return 'fresh';
    if (this.#isReached) await this.#probeOnce();
    return this.mode;
  }

  /**
   * Whether Postgres is reached, as a probe of the last 250 ms has found. However many ask and however busy the pools
   * are, that is at most four questions a second, and at most 300 ms to wait. Only a failure that fresh memory
   * contradicts is not believed for that long: the feed has heard from Postgres since.
   */
  async reachesPostgres(): Promise<boolean> {
    const isRecent = performance.now() - this.#probedAtMs < probeIntervalMs;
    const isContradicted = !this.#isReached && this.isFresh();
    if (!isRecent || isContradicted) await this.#probeOnce();
    return this.#isReached;
  }

  /** What `state` says, by what is known already, without waiting; for metrics, health and the warning of an answer. */
  get mode(): FreshnessMode {
    if (this.isFresh()) return 'fresh';
    if (this.#isReached) return 'read-through';
    return this.staleForMs < this.#staleMs ? 'stale' : 'unavailable';
  }

  /** Milliseconds since memory could last be believed (since the start, if never yet); 0 while fresh. */
  get staleForMs(): number {
    const lastFreshMs = Math.max(this.#changeFeed.trustedUntilMs, this.#startedAtMs);
    return Math.max(0, this.#clock() - lastFreshMs);
  }

  /** Ends the probing in the background. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#probe.close();
  }

  /** One probe for all who ask at the same time. Never rejects. */
  #probeOnce(): Promise<void> {
    this.#probing ??= this.#probeNow().finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  async #probeNow(): Promise<void> {
    clearTimeout(this.#timer);
    const startedAtMs = performance.now();
    this.#isReached = await this.#probe.reaches(probeTimeoutMs);
    this.#probedAtMs = performance.now();
    if (this.#isReached || this.#isClosed) return;
    // Also when nobody asks, so that the first who asks has an answer at once.
    const pauseMs = Math.max(0, startedAtMs + probeIntervalMs - performance.now());
    this.#timer = setTimeout(() => void this.#probeOnce(), pauseMs).unref();
  }
}
