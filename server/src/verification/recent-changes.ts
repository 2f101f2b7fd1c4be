/**
 * What has changed lately, and when, counted in epochs: every change and every flush begins a new one.
 *
 * A read notes the epoch in which it begins, and asks afterwards whether what it found has changed since. By name,
 * because whoever writes a lot would otherwise keep everybody else's reads from being kept. Bounded: what has not
 * changed for the longest goes first, and of a read that began before what is forgotten nothing is known any more.
 */
export class RecentChanges {
  #epoch = 0;
  /** Reads that began before this epoch can't be judged: everything was flushed since, or a change is forgotten. */
  #knownSince = 0;
  /** The epoch that the last change of a name began, the oldest change first. */
  readonly #changedAt = new Map<string, number>();
  readonly #max: number;

  /** @param max how many names are remembered */
  constructor(max: number) {
    this.#max = max;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** This name has changed: an id, or the digest of a key. */
  note(name: string): void {
    this.#epoch++;
    this.#changedAt.delete(name);
    this.#changedAt.set(name, this.#epoch);
    if (this.#changedAt.size <= this.#max) return;
    for (const [oldest, epoch] of this.#changedAt) {
      this.#changedAt.delete(oldest);
      this.#knownSince = epoch;
      return;
    }
  }

  /** Anything may have changed. */
  noteAll(): void {
    this.#epoch++;
    this.#changedAt.clear();
    this.#knownSince = this.#epoch;
  }

  /** Whether one of these names has changed, or may have, since a read that began in `epoch`. */
  hasChangedSince(epoch: number, names: readonly (string | undefined)[]): boolean {
    if (epoch === this.#epoch) return false;
    if (epoch < this.#knownSince) return true;
    return names.some((name) => name !== undefined && (this.#changedAt.get(name) ?? 0) > epoch);
  }
}
