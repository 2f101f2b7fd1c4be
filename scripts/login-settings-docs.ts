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

/** The page that has the table. */
export const signInPage = fileURLToPath(new URL('../docs/sign-in.md', import.meta.url));

/** One member, as far as the table tells of it. */
interface Member {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  anyOf?: Member[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  pattern?: string;
  properties?: Record<string, Member>;
}

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
  const members = membersOf($defs?.LoginSettings, '');
  if (members.length === 0) throw new Error('the schema of login settings has another form than it had');
  const rows = members.map(([name, member]) => [
    `\`${name}\``,
    rangeOf(member),
    `\`${JSON.stringify(member.default)}\``,
    member.description ?? '',
  ]);
  return [['Member', 'Values', 'Default', 'Meaning'], ['---', '---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

/** Every leaf, by its path. */
function membersOf(parent: Member | undefined, prefix: string): [string, Member][] {
  return Object.entries(parent?.properties ?? {}).flatMap(([name, member]) =>
    member.properties === undefined ? [[prefix + name, member]] : membersOf(member, `${prefix}${name}.`),
  );
}

function rangeOf(member: Member): string {
  if (member.anyOf !== undefined) return member.anyOf.map(rangeOf).join(' or ');
  if (member.enum !== undefined) return member.enum.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  const { minimum, maximum, maxItems, maxLength } = member;
  switch (member.type) {
    case 'boolean':
      return '`true`, `false`';
    case 'null':
      return '`null`';
    case 'integer':
      return `${minimum?.toLocaleString('en')} to ${maximum?.toLocaleString('en')}`;
    case 'array':
      return `up to ${maxItems}`;
    default:
      return maxLength === undefined ? 'text' : `text, up to ${maxLength.toLocaleString('en')} characters`;
  }
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
