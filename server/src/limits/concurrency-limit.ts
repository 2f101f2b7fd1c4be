import { AppError } from '../errors.ts';

interface Options {
  /** How many pieces of work may run at once. */
  concurrent: number;
  /** How many more may wait for their turn. */
  waiting: number;
  /** How long one of them waits at the most. */
  waitMs: number;
  /** What one is turned away with; `unavailable` (503) unless given. */
  noRoom?: () => Error;
}

/**
 * Lets a bounded number of pieces of work run at once and a bounded number wait, in the order they came. What is
 * beyond that is turned away at once, so that a flood costs its sender's own turns and nobody else's.
 */
export class ConcurrencyLimit {
  readonly #options: Options;
  readonly #queue = new Set<() => void>();
  #running = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Whether nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#running === 0 && this.#queue.size === 0;
  }

  /** Runs `work` when its turn comes. @throws what `noRoom` makes when there is no room, or no turn in time */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.concurrent) this.#running++;
    else await this.#turn();
    try {
      return await work();
    } finally {
      this.#passOn();
    }
  }

  /** A turn comes from one that has ended, so `#running` already counts it. */
  #turn(): Promise<void> {
    const { waiting, waitMs, noRoom = unavailable } = this.#options;
    if (this.#queue.size >= waiting) return Promise.reject(noRoom());
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#queue.delete(begin);
        reject(noRoom());
      }, waitMs);
      this.#queue.add(begin);
    });
  }

  #passOn(): void {
    const [next] = this.#queue;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#queue.delete(next);
    next();
  }
}

function unavailable(): AppError {
  return new AppError('unavailable', {
    detail: 'Too many requests of this kind are under way. Try again shortly.',
    headers: { 'Retry-After': '1' },
  });
}
