import { readFileSync, writeFileSync } from 'node:fs';
import { lastResults, type Results, type Row } from './results.ts';

const readme = new URL('./README.md', import.meta.url);
/** What a benchmark has drawn. */
const drawings: Record<string, string> = {
  flat: '![Processor time of a verification, over keys stored and over tenants](results/flat.svg)\n\n',
};
const marked = /<!-- figures of (\w+) -->\n[\s\S]*?<!-- end -->/g;

/** Writes the figures of the last full runs into the README, each between its marks. */
export function writeFigures(): void {
  const text = readFileSync(readme, 'utf8').replace(marked, (_, benchmark: string) => {
    const results = lastResults(benchmark);
    const figures = results === null ? 'No full run yet.\n' : render(results);
    return `<!-- figures of ${benchmark} -->\n${figures}<!-- end -->`;
  });
  writeFileSync(readme, text);
}

function render(results: Results): string {
  const { at, machine, node, commit, keys, rounds, roundSeconds, tables } = results;
  const how = [
    machine,
    `Node ${node.slice(1)}`,
    `${keys.toLocaleString('en')} keys stored`,
    `${rounds} rounds of ${roundSeconds} s`,
    at.slice(0, 10),
    `commit ${commit}`,
  ];
  const parts = Object.entries(tables).map(([title, rows]) => `${title}:\n\n${renderTable(rows)}\n`);
  const drawn = drawings[results.benchmark] ?? '';
  return `${drawn}${parts.join('\n')}\n${how.join(', ')}.\n`;
}

function renderTable(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const cell = (value: string | number | undefined) =>
    typeof value === 'number' ? value.toLocaleString('en') : `${value}`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => cell(row[column])))),
  ].join('\n');
}
