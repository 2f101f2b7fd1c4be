/**
 * Writes docs/oidc-settings.md from the schemas of an issuer's OIDC settings and of a client's settings; with `--check`
 * writes nothing and exits 1 when it would change.
 *
 *     node scripts/oidc-settings-docs.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { settingsField } from '../server/src/clients/client-fields.ts';
import { applicationTypes, withDefaults } from '../server/src/clients/client-settings.ts';
import { oidcSettingsResource } from '../server/src/oidc/oidc-settings-schema.ts';
import { asCode, type Member, renderMemberTable } from './member-table.ts';

/** The page that documents these settings. */
export const oidcSettingsPage = fileURLToPath(new URL('../docs/oidc-settings.md', import.meta.url));

/** Markdown of that page, made from the schemas and nothing else. */
export function renderOidcSettingsDocs(): string {
  return `---
title: OIDC settings
description: Every setting of an issuer as an OpenID Connect authority, and of its clients.
---

<!-- Written by scripts/oidc-settings-docs.ts from server/src/oidc and server/src/clients: change it there. -->

## Of an issuer

\`GET\` and \`PATCH /v1/issuers/{issuer_id}/oidc-settings\`; \`null\` sets a member back to its default. Codes, the life of tokens
and who may sign up are [login settings](sign-in.md#settings).

${renderMemberTable(issuerSettings())}

## Of a client

\`settings\` of \`POST /v1/issuers/{issuer_id}/clients\` and of \`PATCH …/clients/{client_id}\`, where \`null\` sets a member back to
its default. The default is that of a \`web\` client unless the table says of which; answers spell out all of them. What clients
are: [Clients](concepts.md#clients).

${renderMemberTable(clientSettings(), clientDefaultOf)}
`;
}

function issuerSettings(): Member | undefined {
  const { $defs } = z.toJSONSchema(oidcSettingsResource) as { $defs?: { OidcSettings?: Member } };
  return $defs?.OidcSettings;
}

function clientSettings(): Member {
  return z.toJSONSchema(settingsField, { io: 'input' }) as Member;
}

/** What a client of each kind is made with, for one that gives nothing but its kind. */
const defaults = applicationTypes.map((kind) => ({
  kind,
  settings: withDefaults({ settings: { openid: { application_type: kind } } }).settings,
}));

/** The default of a `web` client, and of which kinds it is another. */
function clientDefaultOf(path: string): string {
  if (path === 'openid.application_type') return asCode(withDefaults({}).settings.openid.application_type);
  const kinds = new Map<string, string[]>();
  for (const { kind, settings } of defaults) {
    const value = asCode(z.json().parse(memberAt(settings, path)));
    kinds.set(value, [...(kinds.get(value) ?? []), `\`${kind}\``]);
  }
  const [[usual] = [''], ...others] = kinds;
  return [usual, ...others.map(([value, names]) => `${value} for ${names.join(', ')}`)].join('; ');
}

function memberAt(settings: object, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], settings);
}

if (import.meta.main) {
  if (!process.argv.includes('--check')) {
    writeFileSync(oidcSettingsPage, renderOidcSettingsDocs());
  } else if (readFileSync(oidcSettingsPage, 'utf8') !== renderOidcSettingsDocs()) {
    console.error('docs/oidc-settings.md differs from the schemas; run: node scripts/oidc-settings-docs.ts');
    process.exitCode = 1;
  }
}
