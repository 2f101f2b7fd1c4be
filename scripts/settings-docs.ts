/**
 * Writes docs/settings.md from the table of settings; with `--check` writes nothing and exits 1 when it would change.
 *
 *     node scripts/settings-docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { clientVariables, type SettingRow, settingsTable } from '../server/src/settings.ts';

/** The page that documents every setting. */
export const settingsPage = fileURLToPath(new URL('../docs/settings.md', import.meta.url));

/** Markdown of that page, made from the tables and nothing else. */
export function renderSettingsDocs(): string {
  return `---
title: Settings
description: Every environment variable that Gatelodge reads.
---

<!-- Written by scripts/settings-docs.ts from server/src/settings.ts: change it there. -->

Gatelodge is configured by environment variables; a \`.env\` file in the working directory is read too. An empty
variable counts as unset. The server checks all of them at start, lists everything that is wrong at once, and warns
of \`GATELODGE_*\` variables it does not know.

${renderTable(
  ['Variable', 'Default', 'Meaning'],
  (settingsTable as readonly SettingRow[]).map((row) => [
    `\`${row.variable}\``,
    row.defaultNote ?? (row.default === undefined ? '–' : `\`${row.default}\``),
    [row.description, row.isSecret && '*Secret.*', row.isReserved && '*Not used in this release.*']
      .filter(Boolean)
      .join(' '),
  ]),
)}

## Command line and SDKs

${renderTable(
  ['Variable', 'Meaning'],
  clientVariables.map((row) => [`\`${row.variable}\``, row.description]),
)}
`;
}

function renderTable(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) {
    writeFileSync(settingsPage, renderSettingsDocs());
  } else if (readFileSync(settingsPage, 'utf8') !== renderSettingsDocs()) {
    console.error('docs/settings.md differs from the table of settings; run: node scripts/settings-docs.ts');
    process.exitCode = 1;
  }
}
