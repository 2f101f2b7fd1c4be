import { expect, test } from 'vitest';
import { changesOfClient } from './changes-of-client.ts';
import { type GivenSettings, withDefaults } from './client-settings.ts';

const kept = 'https://app.example.com/kept';
const secret = `gl_cs_${'aB3'.repeat(14)}`;

function client(settings: GivenSettings = {}, beside: object = {}) {
  const openid = { redirect_uris: [kept, 'https://app.example.com/old'], ...settings.openid };
  return {
    name: 'App',
    type: 'external' as const,
    metadata: { a: 1 },
    ...withDefaults({ settings: { ...settings, openid } }),
    ...beside,
  };
}

test('tells each member by its path, of settings down to the last', () => {
  const after = client(
    {
      scopes: ['openid'],
      organization_scopes: ['a:b'],
      openid: { pkce: 'optional', access_token_seconds: 60 },
    },
    { name: 'New', type: 'first_party', metadata: { a: 2 } },
  );
  expect(changesOfClient(client(), after)).toEqual({
    changed: [
      'name',
      'type',
      'metadata',
      'settings.scopes',
      'settings.organization_scopes',
      'settings.openid.pkce',
      'settings.openid.access_token_seconds',
    ],
  });
  expect(changesOfClient(after, after)).toEqual({ changed: [] });
});

// Attack: whoever has a key for an hour adds a redirect URI, steals codes, and nobody can tell later where they went.
test('tells of redirect URIs which, without what looks like a secret', () => {
  const evil = 'https://evil.example/';
  const after = client({ openid: { redirect_uris: [evil, `${evil}?token=${secret}`, kept] } });
  const told = changesOfClient(client(), after);
  expect(told).toMatchObject({
    changed: ['settings.openid.redirect_uris'],
    redirect_uris_removed: ['https://app.example.com/old'],
  });
  expect(told.redirect_uris_added?.[0]).toBe(evil);
  expect(told.redirect_uris_added?.[1]).toMatch(/^https:\/\/evil\.example\//);
  expect(JSON.stringify(told)).not.toContain(secret);
});

test('another order of redirect URIs is a change that adds and removes none', () => {
  const { redirect_uris: uris } = client().settings.openid;
  expect(changesOfClient(client(), client({ openid: { redirect_uris: uris.toReversed() } }))).toEqual({
    changed: ['settings.openid.redirect_uris'],
    redirect_uris_added: [],
    redirect_uris_removed: [],
  });
});
