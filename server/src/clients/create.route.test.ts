import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
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
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: true }));
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
      id: expect.stringMatching(/^c_[0-9a-z]{25}$/),
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
