import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { FairLimit } from '../limits/fair-limit.ts';
import { networkOf } from '../limits/network-cap.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { RefreshCount } from './refresh-budget.ts';
import { SharedReads } from './shared-reads.ts';

/** A row of `lookup_refresh_token`. */
export interface RefreshTokenRow extends pg.QueryResultRow, RefreshCount {
  account_id: string;
  issuer_id: string;
  session_id: string;
  expires_at: Date;
  used_at: Date | null;
  session_expires_at: Date;
  session_ended_at: Date | null;
}

/**
 * Whoever holds one token, good or not, may ask without end whose it is: some of the look-ups' connections are left to
 * those who verify keys. One network is often that of a backend, which refreshes for all of its users.
 */
const limits = { concurrent: 3, waitingOfGroup: 200, waiting: 4_000, waitMs: 2_000 };

const rememberedDead = 10_000;
const rememberedMs = 10_000;
/** What looks expired may have been carried on by a refresh that began in time; none takes this long. */
const surelyExpiredMs = 60_000;

interface Dependencies {
  pool: pg.Pool;
  nowMs: () => number;
}

/**
 * Asks whose refresh tokens are. Nobody keeps others waiting by that: a network has one read under way for a token, the
 * networks take turns, and what will never be good again is asked for once in ten seconds.
 */
export class RefreshLookups {
  readonly #deps: Dependencies;
  readonly #turns = new FairLimit(limits);
  readonly #reads = new SharedReads<RefreshTokenRow | null>();
  readonly #dead = new LRUCache<string, { row: RefreshTokenRow | null }>({
    max: rememberedDead,
    ttl: rememberedMs,
  });

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * What there is to know of a token without a lock; null of one that there is none of.
   *
   * @param digest of a token that this installation has made
   * @param ip of whoever shows it
   * @throws unavailable (503) also where too many of this network wait for such an answer already
   */
  async find(digest: Buffer, ip: string): Promise<RefreshTokenRow | null> {
    const name = digest.toString('base64');
    const dead = this.#dead.get(name);
    if (dead !== undefined) return dead.row;
    const network = networkOf(ip);
    // Who shares a read shares its place in the queue: nobody is to wait in another network's.
    return this.#reads.read(`${network} ${name}`, (begins) =>
      this.#turns.run(network, async () => {
        begins();
        const [row = null] = await callLookup<RefreshTokenRow>(this.#deps.pool, 'lookup_refresh_token', [
          digest,
        ]);
        if (row === null || isOver(row, this.#deps.nowMs())) this.#dead.set(name, { row });
        return row;
      }),
    );
  }
}

/**
 * Whether nothing makes the token count again, nor its being shown count as a reuse: no session comes back. Nor does a
 * token that there is none of: it is stored before anybody holds it.
 */
export function isOver(row: RefreshTokenRow, nowMs: number): boolean {
  if (row.session_ended_at !== null) return true;
  return Math.max(row.expires_at.getTime(), row.session_expires_at.getTime()) < nowMs - surelyExpiredMs;
}
