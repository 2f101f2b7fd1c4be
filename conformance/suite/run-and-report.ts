import { writeFile } from 'node:fs/promises';
import type { LoginDriver } from '../browser/login-driver.ts';
import type { SuiteConfig } from '../config.ts';
import { plans } from './plans.ts';
import { lineOf, summaryOf, toJson } from './report.ts';
import { runPlans } from './runner.ts';

/** Which modules run, and where their verdicts go. */
export interface RunChoice {
  /** Names; all where there is none. */
  readonly plans: readonly string[];
  /** Names; all of the plans where there is none. */
  readonly modules: readonly string[];
  /** A file for the verdicts as JSON; `-` is the standard output, which then has nothing else. */
  readonly json: string | undefined;
}

/** Runs what was chosen and prints it. Gives the exit code: 0, 1 when a module fails, 2 for a name that is none. */
export async function runAndReport(
  config: SuiteConfig,
  driver: LoginDriver,
  choice: RunChoice,
): Promise<number> {
  const chosen = plans.filter(({ name }) => choice.plans.length === 0 || choice.plans.includes(name));
  const known = chosen.flatMap((plan) => plan.modules.map(({ name }) => name));
  const unknown = [
    ...choice.plans.filter((name) => !plans.some((plan) => plan.name === name)),
    ...choice.modules.filter((name) => !known.includes(name)),
  ];
  if (unknown.length > 0) {
    process.stderr.write(`there is no ${unknown.join(', ')}; --list says what there is\n`);
    return 2;
  }
  const print = (text: string) => {
    if (choice.json !== '-') process.stdout.write(`${text}\n`);
  };
  const verdicts = await runPlans(chosen, config, driver, {
    isWanted: (name) => choice.modules.length === 0 || choice.modules.includes(name),
    onVerdict: (verdict) => print(lineOf(verdict)),
  });
  print(`\n${summaryOf(verdicts)}`);
  const text = toJson(config.issuer, verdicts);
  if (choice.json === '-') process.stdout.write(text);
  else if (choice.json !== undefined) await writeFile(choice.json, text);
  return verdicts.some(({ outcome }) => outcome === 'fail') ? 1 : 0;
}

/** Plans and modules, each with what a pass shows, as Markdown; the README holds it. */
export function listPlans(): string {
  return plans
    .map(({ name, profile, modules }) => {
      const rows = modules.map((module) => `| \`${module.name}\` | ${module.shows} |`);
      return [
        `### ${profile}: \`${name}\``,
        '',
        '| module | a pass shows |',
        '| --- | --- |',
        ...rows,
        '',
      ].join('\n');
    })
    .join('\n');
}
