import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** How long the pool may keep quiet before a connection of the probe's own is tried as well. */
const hedgeMs = 100;
const ownIdleMs = 5_000;

/**
 * Tells whether queries of ours reach the primary.
 *
 * Over the pool first, and over one more connection where the pool fails or keeps quiet: a pool that is busy, or
 * whose connections have died without a word, says nothing about Postgres. That connection is kept for some seconds,
 * so that it also tells where making one takes longer than a probe may.
 *
 * A standby does not count, for it may lag behind. Neither does a server that turns us away (starting, stopping).
 */
export class PrimaryProbe {
  readonly #pool: pg.Pool;
  #own: Promise<pg.Client> | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Whether the primary answers within `timeoutMs`. Never rejects. */
  async reaches(timeoutMs: number): Promise<boolean> {
    const overPool = this.#askPool(timeoutMs);
    const isQuick = await Promise.race([overPool, delay(hedgeMs, false, { ref: false })]);
    if (isQuick) return true;
    const overOwn = this.#askDirectly(timeoutMs - hedgeMs);
    const inTime = delay(timeoutMs - hedgeMs, false, { ref: false });
    return Promise.race([firstTrue([overPool, overOwn]), inTime]);
  }

  /** Ends the probe's own connection; the pool stays. */
  close(): void {
    clearTimeout(this.#idleTimer);
    this.#own?.then(destroy, () => {});
    this.#own = undefined;
  }

  async #askPool(timeoutMs: number): Promise<boolean> {
    // A pool with room would connect anew, which is the other way of asking.
    if (this.#pool.idleCount === 0 && this.#pool.totalCount < this.#pool.options.max) return false;
    return this.#pool.query(question(timeoutMs)).then(isPrimary, () => false);
  }

  async #askDirectly(timeoutMs: number): Promise<boolean> {
    this.#own ??= this.#connect();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.close(), ownIdleMs).unref();
    const own = this.#own;
    try {
      const client = await own;
      return isPrimary(await client.query(question(timeoutMs)));
    } catch {
      own.then(destroy, () => {});
      if (this.#own === own) this.#own = undefined;
      return false;
    }
  }

  async #connect(): Promise<pg.Client> {
    // Handed over as they are: the password among them is not enumerable and would be lost by a copy.
    const client = new pg.Client(this.#pool.options);
    client.on('error', () => {});
    await client.connect();
    return client;
  }
}

function question(timeoutMs: number): pg.QueryConfig & { query_timeout: number } {
  return { text: 'select pg_is_in_recovery() as is_standby', query_timeout: timeoutMs };
}

function isPrimary(answer: pg.QueryResult<{ is_standby: boolean }>): boolean {
  return answer.rows[0]?.is_standby === false;
}

/** Without a goodbye, which a connection that hangs would never finish. */
function destroy(client: pg.Client): void {
  client.connection.stream.destroy();
}

async function firstTrue(answers: Promise<boolean>[]): Promise<boolean> {
  const orRejected = answers.map((answer) =>
    answer.then((isTrue) => isTrue || Promise.reject(new Error('no'))),
  );
  return Promise.any(orRejected).catch(() => false);
}
