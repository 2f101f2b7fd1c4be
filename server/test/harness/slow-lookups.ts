import { setTimeout as sleep } from 'node:timers/promises';
import type { TestServer } from './server.ts';

type Call = { name?: string; values?: readonly unknown[] };

/** Look-ups of a node that take as long as a busy Postgres does, and how many of them there were. */
export class SlowLookups implements Disposable {
  readonly #pool: TestServer['running']['services']['lookupPool'];
  readonly #ask: (...args: unknown[]) => unknown;
  #count = 0;

  /**
   * @param isSlow which of them, by the function's name and its arguments
   * @param ms how long each of those takes at the least
   */
  constructor(
    { running }: Pick<TestServer, 'running'>,
    isSlow: (name: string, values: readonly unknown[]) => boolean,
    ms: number,
  ) {
    this.#pool = running.services.lookupPool;
    this.#ask = this.#pool.query as (...args: unknown[]) => unknown;
    this.#pool.query = (async (...args: unknown[]) => {
      const { name = '', values = [] } = args[0] as Call;
      if (isSlow(name, values)) {
        this.#count++;
        await sleep(ms);
      }
      return Reflect.apply(this.#ask, this.#pool, args);
    }) as never;
  }

  /** Of the slow ones. */
  get count(): number {
    return this.#count;
  }

  [Symbol.dispose](): void {
    this.#pool.query = this.#ask as never;
  }
}
