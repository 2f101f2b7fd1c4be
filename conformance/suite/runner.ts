import type { LoginDriver } from '../browser/login-driver.ts';
import type { SuiteConfig } from '../config.ts';
import type { ConformanceModule, ConformancePlan } from './module.ts';
import { ModuleSkipped, ModuleStopped, type Outcome, type Verdict } from './outcome.ts';
import { Suite, Trial } from './trial.ts';

/**
 * Runs the modules of plans one after the other, in the plans' order, and says what each found. `isWanted` chooses
 * modules by their names; `onVerdict` hears of each as soon as it is known.
 */
export async function runPlans(
  plans: readonly ConformancePlan[],
  config: SuiteConfig,
  driver: LoginDriver,
  {
    isWanted = () => true,
    onVerdict = () => undefined,
  }: { isWanted?: (module: string) => boolean; onVerdict?: (verdict: Verdict) => void } = {},
): Promise<readonly Verdict[]> {
  const suite = new Suite(config, driver);
  const verdicts: Verdict[] = [];
  for (const plan of plans) {
    for (const module of plan.modules.filter(({ name }) => isWanted(name))) {
      const verdict = await runModule(plan, module, suite);
      verdicts.push(verdict);
      onVerdict(verdict);
    }
  }
  return verdicts;
}

async function runModule(plan: ConformancePlan, module: ConformanceModule, suite: Suite): Promise<Verdict> {
  const startedAt = performance.now();
  const { outcome, reasons } = await outcomeOf(module, suite);
  const milliseconds = Math.round(performance.now() - startedAt);
  return { module: module.name, plan: plan.name, outcome, reasons, milliseconds };
}

async function outcomeOf(
  module: ConformanceModule,
  suite: Suite,
): Promise<{ outcome: Outcome; reasons: readonly string[] }> {
  let trial: Trial | undefined;
  try {
    trial = new Trial(suite, await suite.metadata());
    await module.run(trial);
  } catch (error) {
    if (error instanceof ModuleSkipped && (trial?.failures.length ?? 0) === 0) {
      return { outcome: 'skipped-by-plan', reasons: [error.message] };
    }
    const reason =
      error instanceof ModuleStopped ? error.message : `could not be carried out: ${String(error)}`;
    return { outcome: 'fail', reasons: [...(trial?.failures ?? []), reason] };
  }
  if (trial.failures.length > 0) return { outcome: 'fail', reasons: trial.failures };
  if (trial.warnings.length > 0) return { outcome: 'warning', reasons: trial.warnings };
  return { outcome: 'pass', reasons: [] };
}
