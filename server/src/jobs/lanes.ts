interface LanesOptions {
  /** Pieces of work that a node does at the same time. */
  most: number;
  /** Of one account: where its work takes long, the others keep theirs. */
  mostOfAccount: number;
  /** A lane is free again that work has waited for. */
  onFree: () => void;
}

/** Work that is under way, whose it is, and room for more. Whoever waits for one piece keeps no other from its lane. */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #underWay = new Map<Promise<void>, string>();

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  get free(): number {
    return this.#options.most - this.#underWay.size;
  }

  /** The account of each piece of work. */
  get accounts(): readonly string[] {
    return [...this.#underWay.values()];
  }

  /** @param work never rejects */
  start(accountId: string, work: () => Promise<void>): void {
    const running: Promise<void> = work().finally(() => {
      const isWaitedFor = this.free <= 0 || this.#countOf(accountId) >= this.#options.mostOfAccount;
      this.#underWay.delete(running);
      if (isWaitedFor) this.#options.onFree();
    });
    this.#underWay.set(running, accountId);
  }

  /** Resolves once all that is under way now has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay.keys());
  }

  #countOf(accountId: string): number {
    return this.accounts.filter((each) => each === accountId).length;
  }
}
