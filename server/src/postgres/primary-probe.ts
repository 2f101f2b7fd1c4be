import pg from 'pg';
import { answerWithin } from './attentive-delay.ts';

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
 * Silence counts only while this process is there to hear (`answerWithin`): somebody who keeps it busy must not make
 * it believe that Postgres is away, and go on with records that are out of date.
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

  /** Whether the primary answers within `timeoutMs` of a process that runs freely. Never rejects. */
  async reaches(timeoutMs: number): Promise<boolean> {
    const overPool = this.#askPool(timeoutMs);
    if (await answerWithin(hedgeMs, overPool, false)) return true;
    const overOwn = this.#askDirectly(timeoutMs - hedgeMs);
    return answerWithin(timeoutMs - hedgeMs, firstTrue([overPool, overOwn]), false);
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
    try {
      const client = await this.#pool.connect();
      const answer = await ask(client, timeoutMs);
      client.release(answer === 'none');
      return answer === 'primary';
    } catch {
      return false;
    }
  }

  async #askDirectly(timeoutMs: number): Promise<boolean> {
    this.#own ??= this.#connect();
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => this.close(), ownIdleMs).unref();
    const own = this.#own;
    const answer = await own.then(
      (client) => ask(client, timeoutMs),
      () => 'none' as const,
    );
    if (answer === 'none') {
      own.then(destroy, () => {});
      if (this.#own === own) this.#own = undefined;
    }
    return answer === 'primary';
  }

  async #connect(): Promise<pg.Client> {
    // Handed over as they are: the password among them is not enumerable and would be lost by a copy.
    const client = new pg.Client(this.#pool.options);
    client.on('error', () => {});
    await client.connect();
    return client;
  }
}

type Answer = 'primary' | 'standby' | 'none';

/** The connection is of no use after `none`. The driver's own time limit would count the time that we were held up. */
async function ask(client: pg.ClientBase, timeoutMs: number): Promise<Answer> {
  const answer = client
    .query<{ is_standby: boolean }>('select pg_is_in_recovery() as is_standby')
    .then(({ rows }): Answer => (rows[0]?.is_standby === false ? 'primary' : 'standby'))
    .catch((): Answer => 'none');
  return answerWithin(timeoutMs, answer, 'none');
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
