import { setTimeout as delay } from 'node:timers/promises';
import { type Change, parseChange } from './change.ts';
import { connectionConfig } from './connection-config.ts';
import { ListeningConnection } from './listening-connection.ts';
import type { DatabaseLog } from './log.ts';

/** How long a ping that came back vouches for the cache, from the moment it was sent. */
const trustMs = 750;
const pingIntervalMs = 250;
/** A connection on which a ping stays away this long is given up, whatever TCP still thinks of it. */
const silenceMs = 1_000;
/** A connection that held this long was a good one: the next starts without a pause. */
const steadyMs = 1_000;
const longestPauseMs = 1_000;

export type ChangeFeedOptions = {
  /** Of the service's role. Has to lead to the primary directly: LISTEN does not work through a transaction pooler. */
  connectionString: string;
  /** Unique to this process; part of the name of its ping channel. */
  nodeId: string;
  /** Forgets what has changed. Called in the order of the commits, synchronously, before any later ping is counted. */
  onChange(change: Change): void;
  /**
   * Forgets everything. Called after each connect once LISTEN is in force and before anything is trusted again, and
   * for an announcement that nobody understands.
   */
  onReconnect(): void;
  log: DatabaseLog;
  /** Monotonic milliseconds; `performance.now` by default. */
  clock?: () => number;
};

export type ChangeFeed = {
  /**
   * The moment (of the clock) until which everything held in memory can be trusted; −Infinity before the first ping
   * has come back and after `close`. See `startChangeFeed` for what that promises.
   */
  readonly trustedUntilMs: number;
  /** Ends the connection. Nothing is called and nothing is trusted afterwards. */
  close(): Promise<void>;
};

/**
 * Keeps one connection of its own on which Postgres announces changes, for as long as the process lives.
 *
 * What `trustedUntilMs` promises: at a moment `t` before it, `onChange` (or `onReconnect`) has been called for every
 * change that was committed before `t − 750 ms`. Postgres delivers notifications of one database in the order of
 * their commits. So when the ping that this connection sent itself at `s` comes back, all that was committed before
 * `s` has come before it, and that stays known for good: the trust of a ping outlives its connection. A connection
 * that is cut, hangs half-open, or loses its node's event loop sends no newer ping, and the trust runs out by itself;
 * nothing has to notice the fault for the promise to hold.
 *
 * What a fill of the cache owes in return: it takes note of an epoch, which moves with every `onChange` and every
 * `onReconnect`, then reads from the primary in one statement, and keeps what it read only if nothing that it read
 * has been announced as changed (nor `onReconnect` been called) since that epoch. A change that the read did not see
 * is announced after the read began, so it is either known before the fill keeps anything or finds the kept record and
 * removes it. Between two connections announcements are
 * lost, and `onReconnect` covers for them: it is called after LISTEN is in force, so whatever is read afterwards is
 * announced again, and whatever was read before is gone.
 */
export function startChangeFeed(options: ChangeFeedOptions): ChangeFeed {
  return new RunningFeed(options);
}

class RunningFeed implements ChangeFeed {
  readonly #options: ChangeFeedOptions;
  readonly #clock: () => number;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #trustedUntilMs = Number.NEGATIVE_INFINITY;
  /** Failures since the last connection that held for a second. */
  #failures = 0;
  #connections = 0;

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#ended = this.#run();
  }

  get trustedUntilMs(): number {
    return this.#trustedUntilMs;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#trustedUntilMs = Number.NEGATIVE_INFINITY;
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#listen();
      } catch (error) {
        if (signal.aborted) return;
        this.#onFailure(error);
      }
      await delay(this.#pauseMs(), undefined, { signal }).catch(() => {});
    }
  }

  /** Listens over one connection until it fails; never resolves before the feed is closed. */
  async #listen(): Promise<void> {
    const { connectionString, nodeId } = this.#options;
    const { signal } = this.#closing;
    this.#connections++;
    using connection = new ListeningConnection({
      config: connectionConfig(connectionString, 'gatelodge changes'),
      pingChannel: `gatelodge_ping_${nodeId}_${this.#connections}`,
      onChange: (payload) => this.#onPayload(payload),
    });
    const end = () => connection[Symbol.dispose]();
    signal.addEventListener('abort', end, { once: true });
    try {
      await connection.open();
      this.#options.onReconnect();
      for (let pings = 1; !signal.aborted; pings++) {
        const sentAtMs = this.#clock();
        // Counted within the notification's own event, not after an await: a change that arrives right behind the
        // ping must not find the ping still uncounted, nor may one ahead of it be overtaken.
        await connection.ping(silenceMs, () => this.#trust(sentAtMs));
        if (pings * pingIntervalMs >= steadyMs) this.#onSteady();
        await delay(Math.max(0, sentAtMs + pingIntervalMs - this.#clock()), undefined, { signal });
      }
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  #trust(sentAtMs: number): void {
    if (this.#closing.signal.aborted) return;
    this.#trustedUntilMs = sentAtMs + trustMs;
  }

  /** An error that this throws ends the connection before a later ping is counted, and the next one flushes. */
  #onPayload(payload: string): void {
    const change = parseChange(payload);
    if (change !== null) {
      this.#options.onChange(change);
      return;
    }
    this.#options.log.warn({}, 'an announced change was not understood; everything in memory is forgotten');
    this.#options.onReconnect();
  }

  #onSteady(): void {
    if (this.#failures > 0) this.#options.log.info({}, 'changes from Postgres arrive again');
    this.#failures = 0;
  }

  #onFailure(error: unknown): void {
    this.#failures++;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#failures === 1)
      this.#options.log.warn({ reason }, 'the connection for changes from Postgres broke');
    // The first try again fails often, the fifth means that something is wrong.
    else if (this.#failures === 5) this.#options.log.error({ reason }, 'no changes arrive from Postgres');
  }

  /** Nothing after the first failure, then doubling; random, so that many nodes do not come back at one moment. */
  #pauseMs(): number {
    if (this.#failures <= 1) return 0;
    return Math.min(longestPauseMs, 50 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
  }
}
