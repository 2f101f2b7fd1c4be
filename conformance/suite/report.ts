import type { Outcome, Verdict } from './outcome.ts';

/** One line of the table that is printed while the modules run, its reasons below it. */
export function lineOf({ module, outcome, reasons, milliseconds }: Verdict): string {
  const seconds = (milliseconds / 1_000).toFixed(1).padStart(6);
  const first = `${outcome.padEnd(16)}${seconds} s  ${module}`;
  return [first, ...reasons.map((reason) => `${' '.repeat(26)}${reason}`)].join('\n');
}

/** How many modules came out how. */
export function countOf(verdicts: readonly Verdict[]): Readonly<Record<Outcome, number>> {
  const count = { pass: 0, warning: 0, fail: 0, 'skipped-by-plan': 0 };
  for (const { outcome } of verdicts) count[outcome] += 1;
  return count;
}

/** The last line of the table. */
export function summaryOf(verdicts: readonly Verdict[]): string {
  const count = countOf(verdicts);
  const parts = Object.entries(count).map(([outcome, number]) => `${number} ${outcome}`);
  return `${verdicts.length} modules: ${parts.join(', ')}`;
}

/** The same for programs. */
export function toJson(issuer: string, verdicts: readonly Verdict[]): string {
  return `${JSON.stringify({ issuer, count: countOf(verdicts), verdicts }, undefined, 2)}\n`;
}
