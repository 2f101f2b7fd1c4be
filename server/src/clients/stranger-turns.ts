import { FairLimit } from '../limits/fair-limit.ts';

/** Some of the look-ups' connections, so that a flood of made-up ids leaves the others to those who are known. */
const atOnce = 2;
const waitMs = 500;
const ofAccount = { concurrent: atOnce, waitingOfGroup: 200, waiting: 200, waitMs };
/** No account brings more than `atOnce` here: so many accounts wait, and each for one turn of every other. */
const ofNode = { concurrent: atOnce, waitingOfGroup: atOnce, waiting: 2_000, waitMs };

/**
 * Turns of those who ask about clients that memory has never heard of: anybody may name one, at any issuer. Accounts take
 * turns, and within an account its issuers do, so that made-up ids at however many issuers of one account stand in the way of
 * nobody else's. Where an account has no more room to wait, whichever of its issuers has the most waiting gives a place up.
 */
export class StrangerTurns {
  readonly #node = new FairLimit(ofNode);
  /** Of the accounts that somebody asks at; an idle one takes no memory. */
  readonly #accounts = new Map<string, FairLimit>();

  /** Runs `work` when its turn comes. @throws unavailable (503) when there is no room, or no turn in time */
  async run<T>(
    { accountId, issuerId }: { accountId: string; issuerId: string },
    work: () => Promise<T>,
  ): Promise<T> {
    let account = this.#accounts.get(accountId);
    if (account === undefined) {
      account = new FairLimit(ofAccount);
      this.#accounts.set(accountId, account);
    }
    try {
      return await account.run(issuerId, () => this.#node.run(accountId, work));
    } finally {
      if (account.isIdle) this.#accounts.delete(accountId);
    }
  }
}
