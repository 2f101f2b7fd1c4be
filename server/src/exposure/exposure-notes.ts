import { inertText } from '../events/inert-text.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import { exposurePolicy } from '../verification/checks.ts';
import { refusalBeforeTenant } from '../verification/decide.ts';
import type { KeyRecord } from '../verification/records.ts';
import { tellExposure } from './exposure-store.ts';

/**
 * Where a key was seen. `management` is the caller of the management API and of verification, `auth` who has users sign in.
 */
export type SeenAt = 'verify' | 'authorize' | 'me' | 'management' | 'auth';

const dayMs = 86_400_000;
const everyMs = 1_000;
const maxOrigin = 300;
/** Of an origin that is longer nobody needs more; the first cut keeps a hostile one from costing time. */
const maxOriginRead = 1_024;

/** How many keys are remembered as told of today; told of again, they cost an update that changes nothing. */
const maxRemembered = 100_000;
const usualMaxPending = 10_000;
/** What fails so often for a reason of its own will not succeed. */
const maxAttempts = 10;

interface Note {
  accountId: string;
  keyId: string;
  /** UTC, as `YYYY-MM-DD`. */
  day: string;
  /** Inert, and without the key itself, which whoever sent it may have put there. */
  origin: string | null;
  policy: 'warn' | 'deny';
  seenAt: SeenAt;
  attempts: number;
}

interface Dependencies {
  /** Whose statements no request is charged with. */
  database: Database;
  log: Log;
  nowMs: () => number;
  /** How many notes may wait to be written; 10,000 unless given. */
  maxPending?: number;
}

/**
 * Tells the owners of secret keys that arrive with browser headers, once a UTC day and key. Who decides about a key
 * leaves a note and goes on; the event is written soon after, again and again while Postgres is away.
 */
export class ExposureNotes {
  readonly #deps: Dependencies;
  readonly #drain: Periodic;
  readonly #maxPending: number;
  readonly #pending = new Map<string, Note>();
  readonly #noted = new Set<string>();
  #day = 0;
  #dropped = 0;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#maxPending = deps.maxPending ?? usualMaxPending;
    this.#drain = new Periodic({
      name: 'key exposure',
      everyMs,
      log: deps.log,
      work: (signal) => this.#writeAll(signal),
    });
  }

  /** How many notes found no room or could not be written, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * To be called for every request with a key that is known, whatever becomes of the request. Costs a comparison where
   * no browser sent it, and one look-up in a set where today's note has been left already.
   */
  note(
    record: KeyRecord,
    request: { origin: string | undefined; hasBrowserHeaders: boolean },
    seenAt: SeenAt,
    secret: string,
  ): void {
    if (!request.hasBrowserHeaders) return;
    const policy = exposurePolicy(record, request);
    if (policy === 'allow') return;
    const nowMs = this.#deps.nowMs();
    const day = Math.floor(nowMs / dayMs);
    if (day !== this.#day) {
      this.#noted.clear();
      this.#day = day;
    }
    if (this.#noted.has(record.id)) return;
    // A dead key does no harm wherever it stands.
    if (refusalBeforeTenant(record, undefined, nowMs) !== null) return;
    if (this.#pending.size >= this.#maxPending) {
      this.#dropped++;
      return;
    }
    if (this.#noted.size >= maxRemembered) this.#noted.clear();
    this.#noted.add(record.id);
    const note: Note = {
      accountId: record.account.id,
      keyId: record.id,
      day: new Date(nowMs).toISOString().slice(0, 10),
      origin:
        request.origin === undefined
          ? null
          : inertText(request.origin.slice(0, maxOriginRead), maxOrigin, secret),
      policy,
      seenAt,
      attempts: 0,
    };
    const name = `${note.day} ${note.keyId}`;
    if (!this.#pending.has(name)) this.#pending.set(name, note);
    this.#drain.wake();
  }

  start(): void {
    this.#drain.start();
  }

  /** Writes what is left, as far as Postgres can be reached. */
  async close(): Promise<void> {
    await this.#drain.close();
    await this.#writeAll().catch((error: unknown) => {
      this.#deps.log.warn({ err: error, count: this.#pending.size }, 'Exposed keys that nobody was told of');
    });
  }

  /** @throws what says that Postgres is away; everything that is not written yet stays */
  async #writeAll(signal?: AbortSignal): Promise<boolean> {
    for (const [name, note] of this.#pending) {
      if (signal?.aborted) break;
      try {
        await this.#write(note);
        this.#pending.delete(name);
      } catch (error) {
        if (isUnavailable(error)) throw error;
        this.#deps.log.error({ err: error, key_id: note.keyId }, 'An exposed key could not be told of');
        if (++note.attempts < maxAttempts) continue;
        this.#pending.delete(name);
        this.#dropped++;
      }
    }
    return false;
  }

  #write({ accountId, keyId, day, origin, policy, seenAt }: Note): Promise<void> {
    return this.#deps.database.withAccount(accountId, (tx) =>
      tellExposure(tx, { accountId, keyId, day, data: { origin, policy, seen_at: seenAt } }),
    );
  }
}
