import { StartError } from '../supervisor/start-error.ts';

/** One thing wrong with the settings: which variable, and what is wrong with it and to be done about it. */
export type SettingsProblem = { variable: string; problem: string };

/**
 * The environment does not make a server that may start. The message lists every problem, so that one start shows
 * them all; it never repeats the value of a secret.
 */
export class SettingsError extends StartError {
  readonly problems: readonly SettingsProblem[];

  constructor(problems: readonly SettingsProblem[]) {
    const lines = problems.map(({ variable, problem }) => `  ${variable} ${problem}`);
    super(`The settings are not usable:\n${lines.join('\n')}`, {
      hint: 'Change these environment variables (or the .env file) and start again; docs/settings.md lists them all.',
    });
    this.problems = problems;
  }
}
