import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/clients`;
const callback = 'https://app.example.com/callback';

/** A body with these members of `openid` beside a redirect URI. */
const withOpenid = (openid: object, rest: object = {}) => ({
  name: 'App',
  ...rest,
  settings: { openid: { redirect_uris: [callback], ...openid } },
});

const openid = 'settings.openid';
const refused: readonly [body: object, field: string, message: RegExp][] = [
  [{}, 'name', /required/],
  // Attack: on the page that asks for consent, the name of an app goes on as if the page itself said it.
  ...['a\nb', 'a\u0000b', '\ud800', 'a\u202eb', 'a\u2066b', 'a\u200fb', 'a\u2028b', 'a\u0085b'].map(
    (name): [object, string, RegExp] => [withOpenid({}, { name }), 'name', /must not contain/],
  ),
  [{ name: 'x' }, `${openid}.redirect_uris`, /at least one/],
  [
    { name: 'x', settings: { redirect_uris: [callback] } },
    'settings.redirect_uris',
    /did you mean settings\.openid\.redirect_uris\?/,
  ],
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
  [withOpenid({ redirect_uris: [`${callback}?${'a'.repeat(2000)}`] }), `${openid}.redirect_uris[0]`, /2000/],
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
];

test.each(
  refused.map(
    ([body, field, message]) => [JSON.stringify(body).slice(0, 200), field, message, body] as const,
  ),
)('422 for %s, which names %s', async (_name, field, message, body) => {
  const before = await rows.count('clients');
  const answer = await api.post(path, body);
  expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  expect(answer.body.errors).toContainEqual(
    expect.objectContaining({ path: field, message: expect.stringMatching(message) }),
  );
  expect(await rows.count('clients')).toBe(before);
});
