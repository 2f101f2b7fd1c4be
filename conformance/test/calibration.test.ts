import { describe, expect, it } from 'vitest';
import { Random } from '../../server/test/harness/random.ts';
import { isSoak } from '../../server/test/harness/scale.ts';
import { startBareProvider } from '../calibration/bare-provider.ts';
import type { Mutant, Variation } from '../calibration/mutant.ts';
import { mutants } from '../calibration/mutants/all.ts';
import { variants } from '../calibration/variants.ts';
import type { Outcome } from '../suite/outcome.ts';
import { plans } from '../suite/plans.ts';
import { runPlans } from '../suite/runner.ts';

/** What the plan leaves out for a bare provider with static clients; every other module passes. */
const skipped = new Set([
  'oidcc-idtoken-signature',
  'oidcc-idtoken-unsigned',
  'oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported',
  // The bare provider takes no request objects.
  'oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported',
]);

const names = plans.flatMap(({ modules }) => modules.map(({ name }) => name));
const calibrated = (name: string): Outcome => (skipped.has(name) ? 'skipped-by-plan' : 'pass');

/** They wait for the next second, once or twice. */
const slow = new Set(['oidcc-prompt-login', 'oidcc-max-age-1', 'oidcc-refresh-token']);

const random = new Random();

describe('against a bare oidc-provider', () => {
  it('every module passes, or is skipped by the plan', async () => {
    const isWanted = (name: string) => isSoak || !slow.has(name);
    const { outcomes, reasons } = await outcomesOf(undefined, isWanted);
    const expected = Object.fromEntries(names.filter(isWanted).map((name) => [name, calibrated(name)]));
    expect(outcomes, reasons).toEqual(expected);
  });
});

describe('against providers that are right in another way', () => {
  it.concurrent.each(variants.map((variant) => [variant.name, variant] as const))(
    '%s',
    async (_name, variant) => {
      const { outcomes: changed, does } = variant;
      const quick = names.filter((name) => !slow.has(name));
      const sampled = new Set([
        ...Object.keys(changed),
        ...Array.from({ length: 3 }, () => random.pick(quick)),
      ]);
      const isWanted = (name: string) => isSoak || (sampled.has(name) && !slow.has(name));
      const { outcomes, reasons } = await outcomesOf(variant, isWanted);
      const expected = names.filter(isWanted).map((name) => [name, changed[name] ?? calibrated(name)]);
      expect(outcomes, `${does} (seed ${random.seed})\n${reasons}`).toEqual(Object.fromEntries(expected));
    },
  );
});

describe('against mutants of it', () => {
  it('there are enough, and each names modules that exist', () => {
    expect(mutants.length).toBeGreaterThanOrEqual(25);
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
    for (const { caughtBy } of mutants) {
      expect(names).toEqual(expect.arrayContaining(Object.keys(caughtBy)));
      expect(Object.keys(caughtBy).length).toBeGreaterThan(0);
    }
  });

  it('every module that can fail is failed by one', () => {
    const caught = new Set(mutants.flatMap(({ caughtBy }) => Object.keys(caughtBy)));
    const uncaught = names.filter((name) => !caught.has(name));
    expect(uncaught).toEqual(names.filter((name) => skipped.has(name) && !caught.has(name)));
  });

  // Those that only slow modules find have to wait for a soak run.
  const chosen = mutants.filter(
    ({ caughtBy }) => isSoak || Object.keys(caughtBy).some((name) => !slow.has(name)),
  );
  it.concurrent.each(chosen.map((mutant) => [mutant.name, mutant] as const))('%s', async (_name, mutant) => {
    const wanted = modulesFor(mutant);
    const { outcomes, reasons } = await outcomesOf(mutant, (name) => wanted.has(name));
    const expected = Object.fromEntries(
      names
        .filter((name) => wanted.has(name))
        .map((name) => [name, mutant.caughtBy[name] ?? calibrated(name)]),
    );
    expect(outcomes, `${mutant.does} (seed ${random.seed})\n${reasons}`).toEqual(expected);
  });
});

/** At full scale all; else one of those that have to find it, and one that must not be misled. */
function modulesFor({ caughtBy }: Mutant): ReadonlySet<string> {
  if (isSoak) return new Set(names);
  const quick = names.filter((name) => !slow.has(name));
  const finding = quick.filter((name) => caughtBy[name] !== undefined);
  const others = quick.filter((name) => caughtBy[name] === undefined);
  return new Set([random.pick(finding), random.pick(others)]);
}

async function outcomesOf(variation: Variation | undefined, isWanted: (name: string) => boolean) {
  await using provider = await startBareProvider(variation);
  const verdicts = await runPlans(plans, provider.config, provider.driver, { isWanted });
  return {
    outcomes: Object.fromEntries(verdicts.map(({ module, outcome }) => [module, outcome])),
    reasons: verdicts
      .filter(({ reasons }) => reasons.length > 0)
      .map(({ module, outcome, reasons }) => `${module} ${outcome}: ${reasons.slice(0, 3).join('; ')}`)
      .join('\n'),
  };
}
