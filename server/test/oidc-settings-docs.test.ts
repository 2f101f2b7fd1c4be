import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { oidcSettingsPage, renderOidcSettingsDocs } from '../../scripts/oidc-settings-docs.ts';
import { withDefaults } from '../src/clients/client-settings.ts';
import { oidcSettingsMembers } from '../src/oidc/oidc-settings-schema.ts';

test('the page of OIDC settings is what the schemas make', () => {
  expect(readFileSync(oidcSettingsPage, 'utf8')).toBe(renderOidcSettingsDocs());
});

test('the page has a row for every setting of an issuer and of a client, each with its default and its meaning', () => {
  const { openid, ...settings } = withDefaults({}).settings;
  const given = [
    ...Object.entries(oidcSettingsMembers.parse({})),
    ...Object.entries(settings),
    ...Object.entries(openid).map(([name, value]) => [`openid.${name}`, value] as const),
  ];
  for (const [name, value] of given) {
    const [row] = renderOidcSettingsDocs()
      .split('\n')
      .filter((line) => line.startsWith(`| \`${name}\` |`));
    const meaning = row?.replace(/ \|$/, '').split(' | ').at(-1);
    expect([name, row?.includes(`\`${JSON.stringify(value)}\``), meaning]).toEqual([
      name,
      true,
      expect.stringMatching(/\w/),
    ]);
  }
});
