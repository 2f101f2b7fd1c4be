import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { problemsOfClient } from './client-rules.ts';
import {
  applicationTypes,
  authMethods,
  deviceCodeGrant,
  grantTypes,
  withDefaults,
} from './client-settings.ts';
import { readSettings } from './stored-settings.ts';

/** Whatever of it may be sent, in any combination. */
const anyClient = fc.record(
  {
    confidential: fc.boolean(),
    settings: fc.record(
      {
        scopes: fc.subarray(['openid', 'profile', 'read']),
        organization_scopes: fc.option(fc.subarray(['invoices:read', 'invoices:write'])),
        openid: fc.record(
          {
            application_type: fc.constantFrom(...applicationTypes),
            grant_types: fc.subarray([...grantTypes], { minLength: 1 }),
            redirect_uris: fc.constantFrom<string[]>(
              [],
              ['https://a.example/', 'http://localhost/'],
              ['com.example:/'],
              ['x'],
            ),
            post_logout_redirect_uris: fc.constantFrom<string[]>(
              [],
              ['https://a.example/'],
              ['com.example:/'],
            ),
            token_endpoint_auth_method: fc.constantFrom(...authMethods),
            pkce: fc.constantFrom('required' as const, 'optional' as const),
            backchannel_logout_uri: fc.option(fc.constantFrom('https://a.example/', 'com.example:/')),
            backchannel_logout_session_required: fc.boolean(),
            access_token_seconds: fc.option(fc.constantFrom(60, 3600)),
            refresh_token_seconds: fc.option(fc.constantFrom(300, 86_400)),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

describe('a client that nothing is wrong with', () => {
  test('can do what it says it does, and no more than its kind may', () => {
    let good = 0;
    fc.assert(
      fc.property(anyClient, (given) => {
        const client = withDefaults(given);
        if (problemsOfClient(client).length > 0) return;
        good++;
        const { openid } = client.settings;
        const grants = new Set<string>(openid.grant_types);
        // A public client shows no secret and gets nothing without a user or PKCE (RFC 9700 §2.1.1).
        if (!client.confidential) {
          expect(openid.token_endpoint_auth_method).toBe('none');
          expect(grants.has('client_credentials')).toBe(false);
          expect(openid.pkce).toBe('required');
        } else expect(openid.token_endpoint_auth_method).not.toBe('none');
        if (openid.application_type === 'spa') expect(client.confidential).toBe(false);
        if (openid.application_type === 'm2m') {
          expect([...grants, ...openid.redirect_uris]).toEqual(['client_credentials']);
          expect(client.confidential).toBe(true);
        }
        if (openid.application_type === 'native') expect(openid.pkce).toBe('required');
        if (grants.has('authorization_code')) expect(openid.redirect_uris.length).toBeGreaterThan(0);
        if (grants.has('refresh_token'))
          expect(grants.has('authorization_code') || grants.has(deviceCodeGrant)).toBe(true);
        expect(openid.redirect_uris).not.toContain('x');
        if (openid.backchannel_logout_session_required) expect(openid.backchannel_logout_uri).not.toBeNull();
      }),
      { numRuns: scaled(5_000, 200_000) },
    );
    expect(good).toBeGreaterThan(100);
  });

  test('is read as it was stored, and its defaults are those of what has them already', () => {
    fc.assert(
      fc.property(anyClient, (given) => {
        const client = withDefaults(given);
        expect(readSettings(JSON.parse(JSON.stringify(client)))).toEqual(client.settings);
        expect(withDefaults(client)).toEqual(client);
      }),
    );
  });
});

test('what is wrong is told of all of it at once, each with its field', () => {
  const client = withDefaults({
    confidential: false,
    settings: {
      openid: {
        grant_types: ['authorization_code', 'client_credentials'],
        token_endpoint_auth_method: 'client_secret_basic',
        pkce: 'optional',
        post_logout_redirect_uris: ['https://a.example/', 'ftp://a.example/'],
      },
    },
  });
  expect(problemsOfClient(client).map(({ path }) => path)).toEqual([
    'settings.openid.token_endpoint_auth_method',
    'settings.openid.pkce',
    'settings.openid.grant_types',
    'settings.openid.redirect_uris',
    'settings.openid.post_logout_redirect_uris[1]',
  ]);
});

describe('settings that a later build has stored', () => {
  const { settings } = withDefaults({ settings: { openid: { redirect_uris: ['https://a.example/'] } } });
  const stored = (changed: object, openid: object = {}) =>
    readSettings({
      confidential: true,
      settings: JSON.parse(
        JSON.stringify({ ...settings, ...changed, openid: { ...settings.openid, ...openid } }),
      ),
    });

  test('are read as far as this build knows them', () => {
    expect(stored({ later: 1 }, { later: { a: 1 }, pkce: 'plain', access_token_seconds: 'short' })).toEqual(
      settings,
    );
    expect(stored({}, { grant_types: ['ciba', 'refresh_token'] }).openid.grant_types).toEqual([
      'refresh_token',
    ]);
  });

  test('are those of a client that can do nothing, where there are none', () => {
    const { openid } = readSettings({ confidential: true, settings: { openid: 7 } });
    expect(openid).toMatchObject({ redirect_uris: [], pkce: 'required' });
  });

  // Attack on ourselves: a limit that can't be read is taken for none.
  test('limit where they can’t be read', () => {
    expect(stored({ scopes: '*' }).scopes).toEqual([]);
    expect(
      stored({}, { require_pushed_authorization_requests: 'always', dpop_bound_access_tokens: 1 }).openid,
    ).toMatchObject({ require_pushed_authorization_requests: true, dpop_bound_access_tokens: true });
    for (const unreadable of ['*', 1, { any: [] }, [1]])
      expect(stored({ organization_scopes: unreadable }).organization_scopes).toEqual([]);
    expect(stored({ organization_scopes: null }).organization_scopes).toBeNull();
  });
});
