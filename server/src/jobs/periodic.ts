import type { Log } from '../logs/log.ts';

interface PeriodicOptions {
  name: string;
  everyMs: number;
  log: Log;
  /** Answers true when there is more to do at once. */
  work: (signal: AbortSignal) => Promise<boolean>;
}

/** Work that a node does again and again, never twice at the same time; a failure is logged and tried again later. */
export class Periodic {
  readonly #options: PeriodicOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isWoken = false;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(this.#options.everyMs);
  }

  /** Runs soon instead of at the next turn. */
  wake(): void {
    this.#isWoken = true;
    if (this.#running === undefined) this.#schedule(0);
  }

  /** Resolves once nothing is under way any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(afterMs: number): void {
    if (this.#stop.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => {
        this.#running = undefined;
        this.#schedule(this.#isWoken ? 0 : this.#options.everyMs);
      });
    }, afterMs);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { name, log, work } = this.#options;
    this.#isWoken = false;
    try {
      while (!this.#stop.signal.aborted && (await work(this.#stop.signal)));
    } catch (error) {
      log.warn({ err: error, component: name }, 'A job failed and will be tried again');
    }
  }
}
