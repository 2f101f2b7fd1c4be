import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { NaiveLimits } from './fixtures/naive-limits.ts';
import type { LimitDecision } from './limit-decision.ts';
import type { LimitLevel, NamedCost, Quota, WindowLimit } from './limits.ts';
import { MemoryLimiter } from './memory-limiter.ts';
import { windows } from './window.ts';

/** Two customers; two organizations and a level above them for the first, whose last key is not an organization's. */
const keys = [
  [0, 4, 6, 7],
  [1, 4, 6, 7],
  [2, 5, 6, 7],
  [3, 6, 7],
  [8, 9],
] as const;
const kinds = [
  'key',
  'key',
  'key',
  'key',
  'organization',
  'organization',
  'issuer',
  'account',
  'key',
  'account',
] as const;

const names = ['a', 'b'] as const;
const amount = fc.oneof(
  { weight: 1, arbitrary: fc.nat(3) },
  { weight: 4, arbitrary: fc.integer({ min: 4, max: 25 }) },
);
const windowLimit: fc.Arbitrary<WindowLimit> = fc.record({
  name: fc.constantFrom(...names),
  limit: amount,
  window: fc.constantFrom(...windows),
});
const refill = fc.option(fc.record({ amount, every: fc.constantFrom('day' as const, 'month' as const) }));
const change = fc.record({
  kind: fc.constant('change' as const),
  at: fc.nat(kinds.length - 1),
  environment: fc.constantFrom<Environment>('live', 'sandbox'),
  limits: fc.uniqueArray(windowLimit, { maxLength: 3, selector: ({ name, window }) => `${name} ${window}` }),
  quota: fc.option(fc.record({ credits: amount, refill }), { freq: 3 }),
});
const request = fc.record({
  kind: fc.constant('request' as const),
  key: fc.nat(keys.length - 1),
  environment: fc.constantFrom<Environment>('live', 'live', 'sandbox'),
  cost: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(8) }),
  namedCosts: fc.oneof(
    { weight: 9, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.record({ name: fc.constantFrom(...names, 'quota'), cost: fc.nat(8) }), {
        maxLength: 2,
      }),
    },
  ),
});
const aDayMs = 86_400_000;
const step = fc.record({
  kind: fc.constant('step' as const),
  byMs: fc.oneof(
    fc.integer({ min: 0, max: 1500 }),
    fc.integer({ min: -3000, max: 3000 }),
    fc.integer({ min: -7_200_000, max: 7_200_000 }),
    fc.integer({ min: -2 * aDayMs, max: 3 * aDayMs }),
    fc.constantFrom(1000, 60_000, 3_600_000, aDayMs, 31 * aDayMs),
  ),
});
/** To the last millisecond of a window or the first of the next. */
const edge = fc.record({
  kind: fc.constant('edge' as const),
  everyMs: fc.constantFrom(1000, 60_000, 3_600_000, aDayMs),
  isBefore: fc.boolean(),
});
const sweep = fc.record({ kind: fc.constant('sweep' as const), most: fc.nat(20) });
const restart = fc.record({ kind: fc.constant('restart' as const), folded: fc.nat(1000) });
const command = fc.oneof(
  { weight: 20, arbitrary: request },
  { weight: 3, arbitrary: step },
  { weight: 1, arbitrary: edge },
  { weight: 2, arbitrary: change },
  { weight: 1, arbitrary: sweep },
  { weight: 1, arbitrary: restart },
);
type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

class Comparison {
  readonly #naive = new NaiveLimits();
  readonly #configured = new Map<string, { limits: readonly WindowLimit[]; quota: Quota | null }>();
  #nowMs: number;
  #latestMs: number;
  #lastSetSeconds = 0;
  #limiter = new MemoryLimiter(() => this.#nowMs);

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
    this.#latestMs = nowMs;
  }

  run(next: Command): void {
    if (next.kind === 'request') this.#request(next.key, next.environment, next.cost, next.namedCosts);
    else if (next.kind === 'step') this.#moveTo(this.#nowMs + next.byMs);
    else if (next.kind === 'edge') {
      this.#moveTo((Math.floor(this.#nowMs / next.everyMs) + 1) * next.everyMs - (next.isBefore ? 1 : 0));
    } else if (next.kind === 'sweep') this.#limiter.dropExpired(next.most);
    else if (next.kind === 'restart') this.#restart(next.folded);
    else this.#change(next);
  }

  #moveTo(nowMs: number): void {
    this.#nowMs = Math.max(0, nowMs);
    this.#latestMs = Math.max(this.#latestMs, this.#nowMs);
  }

  #change({ at, environment, limits, quota }: Extract<Command, { kind: 'change' }>): void {
    this.#lastSetSeconds = Math.max(this.#lastSetSeconds + 1, Math.floor(this.#nowMs / 1000));
    const set = quota && { ...quota, sinceSeconds: this.#lastSetSeconds };
    this.#configured.set(`${at} ${environment}`, { limits, quota: set });
  }

  /** A rotation changes the key and not what its counters go by, so that every request may be its successor's. */
  #levels(key: number, environment: Environment): LimitLevel[] {
    return keys[key]!.map((at) => {
      const { limits, quota } = this.#configured.get(`${at} ${environment}`) ?? { limits: [], quota: null };
      return { kind: kinds[at]!, id: `id_${at}`, environment, limits, quota };
    });
  }

  #request(key: number, environment: Environment, cost: number, namedCosts: readonly NamedCost[]): void {
    const levels = this.#levels(key, environment);
    const asked = { accountId: 'acc', levels, cost, namedCosts };
    const peeked = this.#limiter.peek(asked);
    const decision = this.#limiter.admit(asked);
    const starts = decision.limits.map(({ windowStart }) => windowStart);
    for (const [index, { least, most }] of this.#naive
      .bounds(levels, this.#nowMs, this.#latestMs)
      .entries()) {
      expect(starts[index]).toBeGreaterThanOrEqual(least);
      expect(starts[index]).toBeLessThanOrEqual(most);
    }
    const states = this.#naive.states(levels, starts, cost, namedCosts);
    const outcome = outcomeOf(states, namedCosts);
    expect([decision, peeked].map(named)).toEqual([outcome, outcome]);
    const shown = states.map(({ isQuota: _isQuota, ...state }) => state);
    expect(peeked.limits).toMatchObject(shown);
    const taken = decision.admitted
      ? shown.map((state) => ({ ...state, remaining: state.remaining - state.cost }))
      : shown;
    expect(decision.limits).toMatchObject(taken);
    if (decision.admitted) this.#naive.count(levels, states);
    else if ('retryAfterSeconds' in decision)
      this.#expectRetryAfter(decision.retryAfterSeconds, states, () => this.#limiter.peek(asked));
  }

  #expectRetryAfter(
    wait: number | null,
    states: readonly { limit: number; exceeded: boolean; isQuota: boolean }[],
    ask: () => LimitDecision,
  ): void {
    const hopeless = states.some(({ exceeded, isQuota, limit }) => exceeded && !isQuota && limit === 0);
    if (wait === null || hopeless) return;
    const nowMs = this.#nowMs;
    this.#nowMs = nowMs + wait * 1000;
    expect(ask().admitted).toBe(true);
    this.#nowMs -= 1000;
    expect(ask().admitted).toBe(false);
    this.#nowMs = nowMs;
  }

  /** What was stored and what was not come back in any order. */
  #restart(folded: number): void {
    const { admitted } = this.#naive;
    const limiter = new MemoryLimiter(() => this.#nowMs);
    for (const use of admitted.slice(folded).reverse()) limiter.add(use);
    for (const use of admitted.slice(0, folded)) limiter.add(use);
    this.#limiter = limiter;
  }
}

type Outcome = 'admitted' | 'rate_limited' | 'quota_exceeded' | 'cost_exceeds_limit' | 'unknown_limit';

function outcomeOf(
  states: readonly { name: string; limit: number; cost: number; exceeded: boolean; isQuota: boolean }[],
  namedCosts: readonly NamedCost[],
): Outcome {
  if (namedCosts.some(({ name }) => !states.some((state) => state.name === name))) return 'unknown_limit';
  const exceeded = states.filter((state) => state.exceeded);
  if (exceeded.length === 0) return 'admitted';
  if (exceeded.some(({ isQuota, limit, cost }) => !isQuota && limit > 0 && cost > limit))
    return 'cost_exceeds_limit';
  return exceeded.some(({ isQuota }) => isQuota) ? 'quota_exceeded' : 'rate_limited';
}

function named(decision: LimitDecision): Outcome {
  return decision.admitted ? 'admitted' : decision.code;
}

const anyStart = fc.integer({
  min: Date.parse('2026-11-28T00:00:00Z'),
  max: Date.parse('2028-03-02T00:00:00Z'),
});

test('admits what a recount of everything admitted has room for, over levels, windows, costs, changed limits, clock steps and restarts', () => {
  fc.assert(
    fc.property(
      anyStart,
      fc.array(change, { minLength: 8, maxLength: 20, size: 'max' }),
      fc.array(command, { minLength: 80, maxLength: scaled(150, 300), size: 'max' }),
      (nowMs, setUp, commands) => {
        const comparison = new Comparison(nowMs);
        for (const next of [...setUp, ...commands]) comparison.run(next);
      },
    ),
  );
});
