import { ConcurrencyLimit } from '../limits/concurrency-limit.ts';
import { FairLimit } from '../limits/fair-limit.ts';
import { networkOf } from '../limits/network-cap.ts';

/**
 * Who has named an issuer: a stranger, in a path; a token of the form that ours have, shown by somebody at this address,
 * whoever made it; or a row of our own, which nobody finds without a credential.
 */
export type NamedBy = 'stranger' | 'row' | { readonly tokenFrom: string };

const limitsOfStrangers = { concurrent: 2, waiting: 200, waitMs: 500 };
/** Anybody can write a token: those of a network wait for each other. */
const limitsOfTokens = { concurrent: 2, waitingOfGroup: 50, waiting: 1_000, waitMs: 500 };

/**
 * Lets few look-ups of what an issuer is or has be under way, those of strangers and those for tokens apart: nobody waits
 * for whoever needs less to cause one.
 */
export class IssuerLanes {
  readonly #strangers = new ConcurrencyLimit(limitsOfStrangers);
  readonly #tokens = new FairLimit(limitsOfTokens);

  /** @throws unavailable (503) where too many wait already, or there is no turn in half a second */
  run<T>(namedBy: NamedBy, load: () => Promise<T>): Promise<T> {
    if (namedBy === 'row') return load();
    if (namedBy === 'stranger') return this.#strangers.run(load);
    return this.#tokens.run(networkOf(namedBy.tokenFrom), load);
  }
}

/** Look-ups of the same name may be shared: nobody is to wait in a line that is not its own. */
export function laneOf(namedBy: NamedBy): string {
  return typeof namedBy === 'string' ? namedBy : `token ${networkOf(namedBy.tokenFrom)}`;
}
