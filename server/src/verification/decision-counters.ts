/** Where a decision was asked for. */
export type DecisionEndpoint = 'verify' | 'me' | 'authorize' | 'auth';

/** Counts decisions by endpoint and code, cheaply enough for the hot path; `/metrics` reads them out. */
export class DecisionCounters {
  readonly #counts = new Map<string, { endpoint: DecisionEndpoint; code: string; count: number }>();

  count(endpoint: DecisionEndpoint, code: string): void {
    const name = `${endpoint} ${code}`;
    const counter = this.#counts.get(name);
    if (counter === undefined) this.#counts.set(name, { endpoint, code, count: 1 });
    else counter.count++;
  }

  read(): Iterable<{ endpoint: DecisionEndpoint; code: string; count: number }> {
    return this.#counts.values();
  }
}
