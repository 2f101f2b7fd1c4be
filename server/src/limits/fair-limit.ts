import { AppError } from '../errors.ts';

interface Options {
  /** How many pieces of work may run at once. */
  concurrent: number;
  /** How many more of one group may wait for their turn. */
  waitingOfGroup: number;
  /** How many more may wait in all. */
  waiting: number;
  /** How long one of them waits at the most. */
  waitMs: number;
}

interface Waiter {
  /** How many of its group may run with it. */
  atMost: number;
  begin: () => void;
  turnAway: () => void;
}

/**
 * Lets a bounded number of pieces of work run at once and a bounded number wait, a queue for each group. The queues take
 * turns, so a group that sends a flood waits for itself: another's next piece of work is behind one of the flood's at the
 * most. Where all room to wait is taken, whoever has the longest queue gives a place up.
 *
 * Turns are worth little where what runs takes long to end. A group that may not have all of them leaves one that nobody
 * else's slowness holds.
 */
export class FairLimit {
  readonly #options: Options;
  /** In the order in which their next turns come; a group that has nobody waiting is none of them. */
  readonly #queues = new Map<string, Set<Waiter>>();
  /** How many of each group run, where any does. */
  readonly #runningOf = new Map<string, number>();
  #running = 0;
  #waiting = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Whether nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#running === 0 && this.#waiting === 0;
  }

  /**
   * Runs `work` when its turn comes.
   *
   * @param atMost how many of the group may run at once; the same for every piece of its work
   * @throws unavailable (503) when there is no room, or no turn in time
   */
  async run<T>(group: string, work: () => Promise<T>, atMost: number = this.#options.concurrent): Promise<T> {
    // Where there is a free turn, whoever waits is of a group that has all it may have: nobody is overtaken.
    if (this.#running < this.#options.concurrent && this.#isBelow(group, atMost)) this.#begin(group);
    else await this.#turn(group, atMost);
    try {
      return await work();
    } finally {
      this.#end(group);
      this.#passOn();
    }
  }

  #isBelow(group: string, atMost: number): boolean {
    return (this.#runningOf.get(group) ?? 0) < atMost;
  }

  #begin(group: string): void {
    this.#running++;
    this.#runningOf.set(group, (this.#runningOf.get(group) ?? 0) + 1);
  }

  #end(group: string): void {
    this.#running--;
    const rest = this.#runningOf.get(group)! - 1;
    if (rest === 0) this.#runningOf.delete(group);
    else this.#runningOf.set(group, rest);
  }

  /** Whoever passes the turn on has begun it already. */
  #turn(group: string, atMost: number): Promise<void> {
    const { waitingOfGroup, waiting, waitMs } = this.#options;
    const length = this.#queues.get(group)?.size ?? 0;
    if (length >= waitingOfGroup) return Promise.reject(unavailable());
    if (this.#waiting >= waiting && !this.#makeRoom(length + 1)) return Promise.reject(unavailable());
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        atMost,
        begin: () => {
          clearTimeout(timer);
          resolve();
        },
        turnAway: () => {
          clearTimeout(timer);
          reject(unavailable());
        },
      };
      const timer = setTimeout(() => {
        this.#remove(group, waiter);
        waiter.turnAway();
      }, waitMs);
      const queue = this.#queues.get(group);
      if (queue === undefined) this.#queues.set(group, new Set([waiter]));
      else queue.add(waiter);
      this.#waiting++;
    });
  }

  /** Turns away the last of the longest queue, if that has more than `length`. */
  #makeRoom(length: number): boolean {
    let longest: [string, Set<Waiter>] | undefined;
    for (const entry of this.#queues) {
      if (longest === undefined || entry[1].size > longest[1].size) longest = entry;
    }
    if (longest === undefined || longest[1].size <= length) return false;
    const [group, queue] = longest;
    const last = [...queue].at(-1)!;
    this.#remove(group, last);
    last.turnAway();
    return true;
  }

  #remove(group: string, waiter: Waiter): void {
    const queue = this.#queues.get(group);
    if (!queue?.delete(waiter)) return;
    this.#waiting--;
    if (queue.size === 0) this.#queues.delete(group);
  }

  /** One has ended, so one at the most can begin. */
  #passOn(): void {
    for (const [group, queue] of this.#queues) {
      const [waiter] = queue;
      if (!this.#isBelow(group, waiter!.atMost)) continue;
      this.#remove(group, waiter!);
      // The others first.
      if (queue.size > 0) {
        this.#queues.delete(group);
        this.#queues.set(group, queue);
      }
      this.#begin(group);
      waiter!.begin();
      return;
    }
  }
}

function unavailable(): AppError {
  return new AppError('unavailable', {
    detail: 'Too many requests of this kind are under way. Try again shortly.',
    headers: { 'Retry-After': '1' },
  });
}
