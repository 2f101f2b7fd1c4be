import { LRUCache } from 'lru-cache';

const rememberedAnswers = 10_000;
const rememberedMs = 2_000;

/** Whether some usable key of the issuer may be used from one of these origins, as Postgres knows it. */
type Ask = (issuerId: string, candidates: readonly string[]) => Promise<boolean>;

/**
 * Remembers for two seconds what preflights were told. A preflight carries no key, so anybody may ask as often as he
 * likes; and it only is a hint: the request that follows is checked exactly.
 */
export class OriginHints {
  readonly #ask: Ask;
  readonly #answers = new LRUCache<string, boolean>({ max: rememberedAnswers, ttl: rememberedMs });
  readonly #inFlight = new Map<string, Promise<boolean>>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  mayUse(issuerId: string, candidates: readonly string[]): Promise<boolean> {
    const name = `${issuerId} ${candidates.join(' ')}`;
    const answer = this.#answers.get(name);
    if (answer !== undefined) return Promise.resolve(answer);
    const running = this.#inFlight.get(name);
    if (running !== undefined) return running;
    const promise = this.#ask(issuerId, candidates)
      .then((mayUse) => {
        if (this.#inFlight.get(name) === promise) this.#answers.set(name, mayUse);
        return mayUse;
      })
      .finally(() => {
        if (this.#inFlight.get(name) === promise) this.#inFlight.delete(name);
      });
    this.#inFlight.set(name, promise);
    return promise;
  }

  /** Something has changed: from here on nothing is answered that was read before. */
  clear(): void {
    this.#answers.clear();
    this.#inFlight.clear();
  }
}
