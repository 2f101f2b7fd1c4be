import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, TestIssuer } from '../../test/harness/test-issuer.ts';
import { deviceCodeGrant } from './client-settings.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/clients`;
const callback = 'https://app.example.com/callback';

/** A body with these members of `openid` beside a redirect URI. */
const withOpenid = (openid: object, rest: object = {}) => ({
  name: 'App',
  ...rest,
  settings: { openid: { redirect_uris: [callback], ...openid } },
});

const wholeSettings = {
  protocol: 'oidc',
  scopes: ['openid', 'profile', 'email'],
  organization_scopes: null,
  openid: {
    application_type: 'web',
    grant_types: ['authorization_code'],
    redirect_uris: [callback],
    post_logout_redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_basic',
    pkce: 'required',
    require_pushed_authorization_requests: false,
    dpop_bound_access_tokens: false,
    resource_indicators: [],
    backchannel_logout_uri: null,
    backchannel_logout_session_required: false,
    access_token_seconds: null,
    refresh_token_seconds: null,
    remember_consent: true,
  },
};

describe('201', () => {
  test('answers the client with every default spelled out, its secret this once, a Location and an ETag', async () => {
    const answer = await api.post(path, withOpenid({}));
    const { secret, ...client } = answer.body.data;
    expect(answer.status).toBe(201);
    expect(client).toEqual({
      id: expect.stringMatching(/^cli_[0-9a-z]{25}$/),
      issuer_id: issuer.id,
      name: 'App',
      type: 'external',
      confidential: true,
      settings: wholeSettings,
      metadata: {},
      status: 'active',
      secrets: [
        {
          id: expect.stringMatching(/^csec_/),
          hint: `gl_cs_…${secret.slice(-4)}`,
          created_at: expect.any(String),
          expires_at: null,
        },
      ],
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    // 256 bits, and nothing that Basic authentication or a form would have to escape.
    expect(secret).toMatch(/^gl_cs_[A-Za-z0-9_-]{43}$/);
    expect(answer.headers.get('Location')).toBe(`${path}/${client.id}`);
    const read = await api.get(`${path}/${client.id}`);
    expect([read.status, read.body.data]).toEqual([200, client]);
    expect(read.headers.get('ETag')).toBe(answer.headers.get('ETag'));
  });

  test('what is stored is whole, and of the secret a digest alone', async () => {
    const { id, secret } = await api.create(path, withOpenid({}));
    const [row] = await rows.query<{ settings: object }>('select * from clients where id = $1', [id]);
    expect(row!.settings).toEqual(wholeSettings);
    const stored = await rows.query('select * from client_secrets where client_id = $1', [id]);
    expect(stored).toMatchObject([{ digest: expect.any(Buffer), digest_generation: 1, expires_at: null }]);
    expect(JSON.stringify([row, stored])).not.toContain(secret.slice(6, -4));
  });

  test('a client answered can be sent again', async () => {
    const { name, type, confidential, settings, metadata } = await api.create(path, withOpenid({}));
    const again = await api.create(path, { name, type, confidential, settings, metadata });
    expect(again.settings).toEqual(settings);
  });

  test.each<[string, object, object]>([
    ['spa', withOpenid({ application_type: 'spa' }), { confidential: false, secrets: [], secret: null }],
    [
      'native',
      withOpenid({ application_type: 'native', redirect_uris: ['com.example.app:/callback'] }),
      { confidential: false, secret: null },
    ],
    [
      'm2m',
      { name: 'Job', settings: { openid: { application_type: 'm2m' } } },
      {
        confidential: true,
        secret: expect.any(String),
        settings: { scopes: [], openid: { grant_types: ['client_credentials'], redirect_uris: [] } },
      },
    ],
    [
      'everything set',
      {
        name: 'Full',
        type: 'first_party',
        confidential: true,
        metadata: { team: 'web' },
        settings: {
          protocol: 'oidc',
          scopes: ['openid', 'offline_access', 'read', 'read'],
          organization_scopes: ['invoices:read'],
          openid: {
            application_type: 'web',
            grant_types: ['authorization_code', 'refresh_token', 'client_credentials', deviceCodeGrant],
            redirect_uris: [callback, 'http://localhost:3000/callback'],
            post_logout_redirect_uris: ['https://app.example.com/'],
            token_endpoint_auth_method: 'client_secret_post',
            pkce: 'optional',
            require_pushed_authorization_requests: true,
            dpop_bound_access_tokens: true,
            resource_indicators: ['https://api.example.com', 'urn:example:api'],
            backchannel_logout_uri: 'https://app.example.com/logout',
            backchannel_logout_session_required: true,
            access_token_seconds: 60,
            refresh_token_seconds: 31_536_000,
            remember_consent: false,
          },
        },
      },
      {
        type: 'first_party',
        metadata: { team: 'web' },
        settings: { scopes: ['openid', 'offline_access', 'read'] },
      },
    ],
    [
      'a device without redirects',
      {
        name: 'TV',
        confidential: false,
        settings: { openid: { grant_types: [deviceCodeGrant, 'refresh_token'] } },
      },
      { confidential: false, settings: { openid: { token_endpoint_auth_method: 'none' } } },
    ],
  ])('%s', async (_name, body, expected) => {
    expect(await api.create(path, body)).toMatchObject(expected);
  });

  test('is one event, without the secret', async () => {
    const { result: client, events } = await rows.eventsOf(() => api.create(path, withOpenid({})));
    expect(events).toMatchObject([
      {
        type: 'client.created',
        issuer_id: issuer.id,
        subject_type: 'client',
        subject_id: client.id,
        actor: { id: key.id },
        data: { name: 'App', type: 'external', confidential: true, application_type: 'web' },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain(client.secret);
  });
});

describe('403 and 404', () => {
  test('who may only read makes none; a sandbox key makes none in a live issuer', async () => {
    const reader = await withScopes(api, ['gatelodge.clients:read'], `${issuer.path}/api-keys`);
    expect((await reader.get(path)).status).toBe(200);
    expect((await reader.post(path, withOpenid({}))).status).toBe(403);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.post(path, withOpenid({}))).status).toBe(404);
    const twin = await api.create(`${issuer.path}/sandbox-issuer`);
    expect((await sandbox.post(`/v1/issuers/${twin.id}/clients`, withOpenid({}))).status).toBe(201);
  });
});

describe('422', () => {
  const openid = 'settings.openid';
  test.each<[object, string, RegExp]>([
    [{}, 'name', /required/],
    [{ name: 'x' }, `${openid}.redirect_uris`, /at least one/],
    [withOpenid({}, { issuer_id: 'x' }), 'issuer_id', /not a member/],
    [withOpenid({ secret: 'mine' }), `${openid}.secret`, /not a member/],
    [withOpenid({}, { secret: 'mine' }), 'secret', /not a member/],
    [withOpenid({}, { type: 'third_party' }), 'type', /one of/],
    [withOpenid({ redirect_uris: [] }), `${openid}.redirect_uris`, /at least one/],
    [withOpenid({ redirect_uris: ['http://app.example.com/'] }), `${openid}.redirect_uris[0]`, /https/],
    [
      withOpenid({ redirect_uris: [callback, 'https://app.example.com'] }),
      `${openid}.redirect_uris[1]`,
      /https:\/\/app\.example\.com\/$/,
    ],
    [withOpenid({ redirect_uris: ['com.example.app:/x'] }), `${openid}.redirect_uris[0]`, /native/],
    [
      withOpenid({ redirect_uris: [`${callback}?${'a'.repeat(2000)}`] }),
      `${openid}.redirect_uris[0]`,
      /2000/,
    ],
    [
      withOpenid({
        redirect_uris: Array.from({ length: 20 }, (_, at) => `${callback}?${'a'.repeat(1500)}${at}`),
      }),
      `${openid}.redirect_uris`,
      /together/,
    ],
    [withOpenid({ post_logout_redirect_uris: ['/'] }), `${openid}.post_logout_redirect_uris[0]`, /absolute/],
    [withOpenid({ backchannel_logout_uri: `${callback}#x` }), `${openid}.backchannel_logout_uri`, /fragment/],
    [withOpenid({ backchannel_logout_uri: 'http://10.0.0.1/' }), `${openid}.backchannel_logout_uri`, /https/],
    [
      withOpenid({ backchannel_logout_session_required: true }),
      `${openid}.backchannel_logout_session_required`,
      /backchannel_logout_uri/,
    ],
    [withOpenid({ grant_types: [] }), `${openid}.grant_types`, /at least/],
    [withOpenid({ grant_types: ['implicit'] }), `${openid}.grant_types[0]`, /one of/],
    [withOpenid({ grant_types: ['password'] }), `${openid}.grant_types[0]`, /one of/],
    [withOpenid({ grant_types: ['refresh_token'] }), `${openid}.grant_types`, /authorization_code/],
    [
      withOpenid({ application_type: 'spa', grant_types: ['authorization_code', 'client_credentials'] }),
      `${openid}.grant_types`,
      /confidential/,
    ],
    [withOpenid({ application_type: 'spa' }, { confidential: true }), 'confidential', /false/],
    [withOpenid({ application_type: 'm2m' }), `${openid}.redirect_uris`, /empty/],
    [
      { name: 'x', confidential: false, settings: { openid: { application_type: 'm2m' } } },
      'confidential',
      /true/,
    ],
    [
      { name: 'x', settings: { openid: { application_type: 'm2m', grant_types: ['authorization_code'] } } },
      `${openid}.grant_types`,
      /client_credentials/,
    ],
    [withOpenid({ pkce: 'optional' }, { confidential: false }), `${openid}.pkce`, /required/],
    [
      withOpenid({ pkce: 'optional', application_type: 'native' }, { confidential: true }),
      `${openid}.pkce`,
      /native/,
    ],
    [withOpenid({ pkce: 'plain' }), `${openid}.pkce`, /one of/],
    [withOpenid({ token_endpoint_auth_method: 'none' }), `${openid}.token_endpoint_auth_method`, /basic/],
    [
      withOpenid({ token_endpoint_auth_method: 'client_secret_post' }, { confidential: false }),
      `${openid}.token_endpoint_auth_method`,
      /none/,
    ],
    [
      withOpenid({ token_endpoint_auth_method: 'client_secret_jwt' }),
      `${openid}.token_endpoint_auth_method`,
      /digests/,
    ],
    [
      withOpenid({ token_endpoint_auth_method: 'private_key_jwt' }),
      `${openid}.token_endpoint_auth_method`,
      /not supported yet/,
    ],
    [
      withOpenid({ token_endpoint_auth_method: 'constructor' }),
      `${openid}.token_endpoint_auth_method`,
      /^must be one of/,
    ],
    [withOpenid({ access_token_seconds: 59 }), `${openid}.access_token_seconds`, /at least 60/],
    [withOpenid({ access_token_seconds: 3601 }), `${openid}.access_token_seconds`, /at most 3600/],
    [
      withOpenid({ access_token_seconds: 900, refresh_token_seconds: 600 }),
      `${openid}.refresh_token_seconds`,
      /access_token_seconds/,
    ],
    [withOpenid({ resource_indicators: ['/api'] }), `${openid}.resource_indicators[0]`, /absolute/],
    [withOpenid({ resource_indicators: [`${callback}#a`] }), `${openid}.resource_indicators[0]`, /fragment/],
    [{ ...withOpenid({}), settings: { scopes: ['two words'] } }, 'settings.scopes[0]', /spaces/],
    [{ ...withOpenid({}), settings: { scopes: [''] } }, 'settings.scopes[0]', /./],
    [{ ...withOpenid({}), settings: { protocol: 'saml' } }, 'settings.protocol', /oidc/],
    // Attack: a token of a client that passes for a permission in Gatelodge.
    [
      { ...withOpenid({}), settings: { scopes: ['Gatelodge.users:write'] } },
      'settings.scopes[0]',
      /permission of Gatelodge/,
    ],
    [
      { ...withOpenid({}), settings: { organization_scopes: ['all'] } },
      'settings.organization_scopes[0]',
      /resource/,
    ],
  ])('%j names %s', async (body, field, message) => {
    const before = await rows.count('clients');
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors).toContainEqual(
      expect.objectContaining({ path: field, message: expect.stringMatching(message) }),
    );
    expect(await rows.count('clients')).toBe(before);
  });
});
