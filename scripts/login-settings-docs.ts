/**
 * Writes the table of login settings in docs/sign-in.md from their schema; with `--check` writes nothing and exits 1 when
 * it would change.
 *
 *     node scripts/login-settings-docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { loginSettingsResource } from '../server/src/login-settings/login-settings-schema.ts';
import { type Member, renderMemberTable } from './member-table.ts';

/** The page that has the table. */
export const signInPage = fileURLToPath(new URL('../docs/sign-in.md', import.meta.url));

const begin =
  '<!-- Written by scripts/login-settings-docs.ts from server/src/login-settings: change it there. -->';
const end = '<!-- End of that. -->';

/** The page with its table as the schema has it, whatever stands there now. */
export function renderSignInPage(page: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from === -1 || to < from)
    throw new Error('docs/sign-in.md has lost the marks around its table of settings');
  return `${page.slice(0, from + begin.length)}\n\n${renderTable()}\n\n${page.slice(to)}`;
}

function renderTable(): string {
  const { $defs } = z.toJSONSchema(loginSettingsResource) as { $defs?: { LoginSettings?: Member } };
  return renderMemberTable($defs?.LoginSettings);
}

if (import.meta.main) {
  const page = readFileSync(signInPage, 'utf8');
  const rendered = renderSignInPage(page);
  if (!process.argv.includes('--check')) {
    writeFileSync(signInPage, rendered);
  } else if (page !== rendered) {
    console.error('docs/sign-in.md differs from the schema; run: node scripts/login-settings-docs.ts');
    process.exitCode = 1;
  }
}
