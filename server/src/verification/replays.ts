import { type Outcome, outcomeNumber, outcomeOf } from '../ledger/outcome.ts';

/** How long a request with a request_id is known again. */
export const replayWindowMs = 600_000;

const usualMax = 1_000_000;
/** An outcome takes the lower bits of an entry, the second it was made in the upper ones. */
const outcomes = 64;

/** A request that is being decided; one of the two has to be called. */
export interface OpenReplay {
  /** It is on record, with this outcome. */
  settle(outcome: Outcome, timeMs: number): void;
  /** It does not count: sent again it is decided again. Whoever has sent it again by now gets this error. */
  fail(error: unknown): void;
}

/**
 * The decisions of the last ten minutes whose requests have an id of their own, so that one that is sent again is
 * decided, charged and metered once.
 *
 * Bounded: two generations, of which the older one goes when the younger one is full. With more than half a million
 * such requests in ten minutes the oldest are forgotten early, and a retry of them counts again.
 */
export class Replays {
  readonly #half: number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  readonly #open = new Map<string, Promise<Outcome>>();

  /** @param max how many are remembered at the most */
  constructor(max = usualMax) {
    this.#half = Math.max(1, Math.floor(max / 2));
  }

  /** Whether a further one would make it forget others. */
  get isFull(): boolean {
    return this.#young.size >= this.#half;
  }

  /**
   * How the request was decided before; a promise while it is not on record yet, null where it is new.
   *
   * @param name the fingerprint of the request, a character a byte
   */
  find(name: string, nowMs: number): Outcome | Promise<Outcome> | null {
    const open = this.#open.get(name);
    if (open !== undefined) return open;
    const entry = this.#young.get(name) ?? this.#old.get(name);
    if (entry === undefined || nowMs >= timeOf(entry) + replayWindowMs) return null;
    return outcomeOf(entry % outcomes) ?? null;
  }

  /** To be called before anything of the request is decided that counts. */
  begin(name: string): OpenReplay {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    // Nobody may be waiting.
    promise.catch(() => {});
    this.#open.set(name, promise);
    return {
      settle: (outcome, timeMs) => {
        this.#open.delete(name);
        this.#set(name, outcome, timeMs);
        resolve(outcome);
      },
      fail: (error) => {
        this.#open.delete(name);
        reject(error);
      },
    };
  }

  /** One that a ledger tells of. */
  remember(fingerprint: Uint8Array, timeMs: number, outcome: Outcome): void {
    this.#set(nameOf(fingerprint), outcome, timeMs);
  }

  #set(name: string, outcome: Outcome, timeMs: number): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    // Rounded up: known for ten minutes, and up to a second longer.
    this.#young.set(name, Math.ceil(timeMs / 1000) * outcomes + outcomeNumber(outcome));
  }
}

/** A fingerprint as the name under which it is remembered. */
export function nameOf(fingerprint: Uint8Array): string {
  return Buffer.from(fingerprint.buffer, fingerprint.byteOffset, fingerprint.byteLength).toString('latin1');
}

function timeOf(entry: number): number {
  return Math.floor(entry / outcomes) * 1000;
}
