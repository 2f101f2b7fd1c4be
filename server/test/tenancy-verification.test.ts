import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../src/app.ts';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { idsIn } from './harness/account-dump.ts';
import type { ApiRequest } from './harness/api-client.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { createTenant, type Tenant } from './harness/tenant.ts';
import type { TestKey } from './harness/test-issuer.ts';

/*
 * Attack: the operations that take a key, a tenant or a cursor rather than an id in the path are asked about somebody
 * else's. The answer must be the one for a key, a tenant or a cursor that nobody has, by the same look-ups.
 */

let server: TestServer;
let sql: SqlLog;
let ours: Tenant;
let theirs: Tenant;
/** What no answer to us may show of theirs. */
let traces: RegExp;
beforeAll(async () => {
  server = await startTestServer();
  [ours, theirs] = [await createTenant(server, 'ours'), await createTenant(server, 'theirs')];
  const rows = await Rows.open(server.database);
  traces = new RegExp(['theirs', ...(await idsIn(rows, { accountId: theirs.accountId }))].join('|'));
  await rows.close();
  // It looks up whom it tells by the same look-ups as requests do.
  await server.running.services.backchannelLogout.close();
  sql = new SqlLog(server);
});
afterAll(() => server.close());

interface Comparison {
  about: string;
  ask: (named: string) => Ask;
  /** What is theirs, and what nobody has. */
  theirs: () => string;
  nobodys: () => string;
}

interface Ask extends ApiRequest {
  method: string;
  path: string;
  key: TestKey | null;
}

const verify = (key: TestKey, body: Record<string, unknown>): Ask => ({
  method: 'POST',
  path: '/v1/keys/verify',
  key,
  body,
});
const authorize = (issuerId: string, headers: Record<string, string>): Ask => ({
  method: 'GET',
  path: `/v1/authorize/${issuerId}`,
  key: null,
  headers,
});
const ofUser = (method: 'GET' | 'POST', name: string): Ask => ({
  method,
  path: `/${ours.issuer.id}/auth/${name}`,
  key: null,
});
const basic = (id: string, secret: string) => ({
  Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});
type ShownClient = Tenant['issuer']['client'];
/** A form for the runtime of our issuer, by a client of its own unless another is given. */
const form = (path: string, members: Record<string, string>, client: ShownClient | null): Ask => ({
  method: 'POST',
  path: `/${ours.issuer.id}/${path}`,
  key: null,
  headers: {
    'Content-Type': 'application/x-www-form-urlencoded',
    ...(client !== null && basic(client.id, client.secret)),
  },
  rawBody: new URLSearchParams(members).toString(),
});
const forged = (token: string) => token.replace(/.{8}$/, 'AAAAAAAA');
const nobodysClient = () => newId(idPrefixes.client);

const callers: [string, () => TestKey][] = [
  ['an account’s key', () => ours.key],
  ['an account’s sandbox key', () => ours.sandboxKey],
  ['an issuer’s key', () => ours.issuer.key],
  ['an organization’s key', () => ours.issuer.organizations[0].key],
];
const subjects: [string, () => TestKey][] = [
  ['another account’s key', () => theirs.key],
  ['another account’s issuer key', () => theirs.issuer.key],
  ['another account’s organization key', () => theirs.issuer.organizations[0].key],
];
/** A genuine secret that nobody knows any more: what was made up would be refused without any look-up. */
const nobodysSecret = () => ours.deletedKey.secret;

const verifyComparisons: Comparison[] = [
  ...callers.map(([caller, key]) => ({
    about: `${caller} verifies another account’s sandbox key`,
    ask: (secret: string) => verify(key(), { key: secret }),
    theirs: () => theirs.sandboxKey.secret,
    nobodys: () => ours.deletedSandboxKey.secret,
  })),
  ...callers.flatMap(([caller, key]) =>
    subjects.map(([subject, their]) => ({
      about: `${caller} verifies ${subject}`,
      ask: (secret: string) => verify(key(), { key: secret }),
      theirs: () => their().secret,
      nobodys: nobodysSecret,
    })),
  ),
  {
    about: 'an issuer’s key verifies the key of another issuer',
    ask: (secret) => verify(ours.issuer.key, { key: secret }),
    theirs: () => ours.sibling.key.secret,
    nobodys: nobodysSecret,
  },
  {
    about: 'an issuer’s key verifies its account’s key',
    ask: (secret) => verify(ours.issuer.key, { key: secret }),
    theirs: () => ours.key.secret,
    nobodys: nobodysSecret,
  },
  {
    about: 'an organization’s key verifies its issuer’s key',
    ask: (secret) => verify(ours.issuer.organizations[0].key, { key: secret }),
    theirs: () => ours.issuer.key.secret,
    nobodys: nobodysSecret,
  },
  {
    about: 'an organization’s key verifies the key of another organization',
    ask: (secret) => verify(ours.issuer.organizations[0].key, { key: secret }),
    theirs: () => ours.issuer.organizations[1].key.secret,
    nobodys: nobodysSecret,
  },
  {
    about: 'a sandbox key verifies a live key',
    ask: (secret) => verify(ours.sandboxKey, { key: secret }),
    theirs: () => ours.issuer.key.secret,
    nobodys: nobodysSecret,
  },
  ...(['id', 'externalId'] as const).flatMap((member) => [
    {
      about: `a tenant of another account by its ${member}`,
      ask: (tenant: string) => verify(ours.key, { key: ours.issuer.key.secret, tenant }),
      theirs: () => theirs.issuer.organizations[0][member],
      nobodys: () => (member === 'id' ? newId(idPrefixes.organization) : 'nobodys-external-id'),
    },
    {
      about: `a tenant of another issuer by its ${member}`,
      ask: (tenant: string) => verify(ours.key, { key: ours.issuer.key.secret, tenant }),
      theirs: () => ours.sibling.organizations[0][member],
      nobodys: () => (member === 'id' ? newId(idPrefixes.organization) : 'nobodys-external-id'),
    },
  ]),
];

/** Every one of them also with the checks told, */
const explained = verifyComparisons.map(
  ({ about, ask, ...rest }): Comparison => ({
    about: `${about}, explained`,
    ask: (named) => ({ ...ask(named), body: { ...(ask(named).body as object), explain: true } }),
    ...rest,
  }),
);
/** and among others in a batch. */
const inBatch = [...verifyComparisons, ...explained].map(
  ({ about, ask, ...rest }): Comparison => ({
    about: `${about}, in a batch`,
    ask: (named) => {
      const asked = ask(named);
      const known = { key: ours.issuer.organizations[0].key.secret };
      return { ...asked, path: '/v1/keys/verify-batch', body: { requests: [known, asked.body, known] } };
    },
    ...rest,
  }),
);

/** Tokens of another account's user, and of another issuer of ours, at an endpoint of our issuer. */
const ofTokens = (ask: (token: string) => Ask): Comparison[] =>
  (['access', 'refresh'] as const).flatMap((kind) => [
    {
      about: `an ${kind} token of another account’s user`,
      ask,
      theirs: () => theirs.issuer.tokens[kind],
      nobodys: () => forged(theirs.issuer.tokens[kind]),
    },
    {
      about: `an ${kind} token of a user of another issuer`,
      ask,
      theirs: () => ours.sibling.tokens[kind],
      nobodys: () => forged(ours.sibling.tokens[kind]),
    },
  ]);
/** A client of another account, and one of another issuer of ours, at an endpoint of our issuer. */
const ofForeignClients = (ask: (clientId: string, secret: string) => Ask): Comparison[] => [
  {
    about: 'a client of another account',
    ask: (id) => ask(id, theirs.issuer.client.secret),
    theirs: () => theirs.issuer.client.id,
    nobodys: nobodysClient,
  },
  {
    about: 'a client of another issuer',
    ask: (id) => ask(id, ours.sibling.client.secret),
    theirs: () => ours.sibling.client.id,
    nobodys: nobodysClient,
  },
];

const oidcComparisons: Record<string, Comparison[]> = {
  'oidc.authorize': ofForeignClients((clientId) => ({
    method: 'GET',
    path: `/${ours.issuer.id}/authorize?${new URLSearchParams({ client_id: clientId, response_type: 'code', scope: 'openid' })}`,
    key: null,
  })),
  // Sent on as a GET, whatever it says.
  'oidc.postAuthorize': [],
  'oidc.token': ofForeignClients((id, secret) =>
    form('token', { grant_type: 'client_credentials' }, { id, secret }),
  ),
  'oidc.pushAuthorization': ofForeignClients((id, secret) =>
    form('par', { response_type: 'code', scope: 'openid' }, { id, secret }),
  ),
  'oidc.introspect': [
    ...ofTokens((token) => form('introspect', { token }, ours.issuer.client)),
    ...ofForeignClients((id, secret) => form('introspect', { token: 'x' }, { id, secret })),
  ],
  'oidc.revoke': [
    ...ofTokens((token) => form('revoke', { token }, ours.issuer.client)),
    ...ofForeignClients((id, secret) => form('revoke', { token: 'x' }, { id, secret })),
  ],
  'oidc.keyinfo': [
    ...subjects.map(([about, key]) => ({
      about,
      ask: (secret: string) => form('keyinfo', { key: secret }, ours.issuer.client),
      theirs: () => key().secret,
      nobodys: nobodysSecret,
    })),
    ...ofForeignClients((id, secret) => form('keyinfo', { key: 'x' }, { id, secret })),
  ],
  'oidc.userinfo': ofTokens((token) => ({
    method: 'GET',
    path: `/${ours.issuer.id}/userinfo`,
    key: null,
    headers: { Authorization: `Bearer ${token}` },
  })),
  'oidc.postUserinfo': ofTokens((token) => form('userinfo', { access_token: token }, null)),
  'oidc.logout': ofForeignClients((clientId) => ({
    method: 'GET',
    path: `/${ours.issuer.id}/logout?${new URLSearchParams({ client_id: clientId, post_logout_redirect_uri: 'https://app.example.com/' })}`,
    key: null,
  })),
  // What the page of it sends, with the cookie of the browser that was shown it.
  'oidc.postLogout': [],
  'oidc.authorizeDevice': ofForeignClients((id, secret) =>
    form('device/authorization', { scope: 'openid' }, { id, secret }),
  ),
  'oidc.register': [
    {
      about: 'a key of another account',
      ask: (secret) => ({
        method: 'POST',
        path: `/${ours.issuer.id}/register`,
        key: null,
        headers: { Authorization: `Bearer ${secret}` },
        body: { redirect_uris: ['https://app.example.com/callback'] },
      }),
      theirs: () => theirs.key.secret,
      nobodys: nobodysSecret,
    },
  ],
  // An interaction, and a code that is confirmed, are the browser's alone that holds the cookie.
  'oidc.device': [],
  'oidc.postDevice': [],
  'login.show': [],
  'login.take': [],
  'login.asset': [],
};

const comparisons: Record<string, Comparison[]> = {
  ...oidcComparisons,
  'keys.verify': [...verifyComparisons, ...explained],
  'keys.verifyBatch': inBatch,
  'authorize.check': [
    {
      about: 'another account’s key at our issuer',
      ask: (secret) => authorize(ours.issuer.id, { 'X-API-Key': secret }),
      theirs: () => theirs.issuer.key.secret,
      nobodys: nobodysSecret,
    },
    {
      about: 'our key at another account’s issuer',
      ask: (secret) => authorize(theirs.issuer.id, { 'X-API-Key': secret }),
      theirs: () => ours.issuer.key.secret,
      nobodys: nobodysSecret,
    },
    {
      about: 'our account’s key at our issuer',
      ask: (secret) => authorize(ours.issuer.id, { 'X-API-Key': secret }),
      theirs: () => ours.key.secret,
      nobodys: nobodysSecret,
    },
  ],
  'me.get': [
    {
      about: 'our secret under the id of another account’s key',
      ask: (id) => ({ method: 'GET', path: '/v1/me', key: null, headers: basic(id, ours.key.secret) }),
      theirs: () => theirs.key.id,
      nobodys: () => newId(idPrefixes.apiKey),
    },
    {
      about: 'their secret under the id of our key',
      ask: (secret) => ({ method: 'GET', path: '/v1/me', key: null, headers: basic(ours.key.id, secret) }),
      theirs: () => theirs.key.secret,
      nobodys: nobodysSecret,
    },
  ],
  'issuer.auth.me': [
    {
      about: 'a token of another account’s user at our issuer',
      ask: (token) => ({ ...ofUser('GET', 'me'), headers: { Authorization: `Bearer ${token}` } }),
      theirs: () => theirs.issuer.tokens.access,
      nobodys: () => theirs.issuer.tokens.access.replace(/.{8}$/, 'AAAAAAAA'),
    },
    {
      about: 'a token of a user of another issuer at ours',
      ask: (token) => ({ ...ofUser('GET', 'me'), headers: { Authorization: `Bearer ${token}` } }),
      theirs: () => ours.sibling.tokens.access,
      nobodys: () => ours.sibling.tokens.access.replace(/.{8}$/, 'AAAAAAAA'),
    },
  ],
  ...Object.fromEntries(
    (['refresh', 'logout'] as const).map((name) => [
      `issuer.auth.${name}`,
      [
        {
          about: 'a refresh token of another account’s user at our issuer',
          ask: (token: string) => ({ ...ofUser('POST', name), body: { refresh_token: token } }),
          theirs: () => theirs.issuer.tokens.refresh,
          nobodys: () => theirs.issuer.tokens.refresh.replace(/.{8}$/, 'AAAAAAAA'),
        },
      ],
    ]),
  ),
  ...Object.fromEntries(
    (['requestOtp', 'verifyOtp'] as const).map((name) => [
      `issuer.auth.${name}`,
      [
        {
          about: 'our key at another account’s issuer',
          ask: (secret: string) => ({
            method: 'POST',
            path: `/${theirs.issuer.id}/auth/${name === 'requestOtp' ? 'request-otp' : 'verify-otp'}`,
            key: null,
            headers: { Authorization: `Bearer ${secret}` },
            body: { email: 'a@example.com', ...(name === 'verifyOtp' && { otp: '123456' }) },
          }),
          theirs: () => ours.issuer.key.secret,
          nobodys: nobodysSecret,
        },
      ],
    ]),
  ),
  // The key or the token that is shown decides whose users these are about; nothing names anybody else.
  'auth.requestOtp': [],
  'auth.verifyOtp': [],
  'auth.me': [],
  'auth.refresh': [],
  'auth.logout': [],
  // Of any issuer, for anybody.
  'jwks.get': [],
  'discovery.get': [],
  'discovery.getByHost': [],
  // For the operator, in development.
  'devMailbox.list': [],
  'devMailbox.show': [],
  'devMailbox.showMail': [],
  // Beside the operation itself: it would end the keys that are compared here.
  'keys.reportLeak': [],
  // These tell nothing of anybody; what they do answer is looked through below.
  'health.live': [],
  'health.ready': [],
  'health.metrics': [],
  'openapi.get': [],
  'errors.show': [],
  'home.show': [],
};

test('every operation that the edge answers, or that has no account, is compared here', () => {
  const contracts = routes.filter((route) => route.handler === null).map(({ operationId }) => operationId);
  expect(Object.keys(comparisons).sort()).toEqual(contracts.sort());
});

describe.each(Object.entries(comparisons).filter(([, cases]) => cases.length > 0))('%s', (_name, cases) => {
  test.each(cases)('$about', async ({ ask, theirs: known, nobodys }) => {
    // Twice each: the second time memory answers what it may, and must answer alike.
    for (let round = 0; round < 2; round++) {
      const ofTheirs = await call(ask(known()));
      const ofNobody = await call(ask(nobodys()));
      expect(ofTheirs.answer).toEqual(ofNobody.answer);
      expect(JSON.stringify(ofTheirs.answer)).not.toMatch(traces);
      if (round === 0) continue;
      expect(ofTheirs.statements).toEqual([]);
    }
  });
});

describe('the look-ups', () => {
  // Attack: telling by time. A genuine secret of another account costs the same look-ups as one that nobody knows.
  test('of another account’s key and of one that nobody knows are the same', async () => {
    const fresh = await theirs.api.create('/v1/api-keys', {});
    const deleted = await ours.api.create('/v1/api-keys', {});
    await ours.api.delete(`/v1/api-keys/${deleted.id}`);
    await call(verify(ours.key, { key: ours.issuer.key.secret }));
    const ofTheirs = await call(verify(ours.key, { key: fresh.secret_plain }));
    const ofNobody = await call(verify(ours.key, { key: deleted.secret_plain }));
    expect(ofTheirs.lookups.at(-1)).toContain('lookup_api_key');
    expect(ofNobody.lookups.at(-1)).toBe(ofTheirs.lookups.at(-1));
  });
});

describe('what has no account', () => {
  test.each(['/', '/healthz', '/readyz', '/metrics', '/openapi.json'])(
    '%s tells nothing of anybody',
    async (path) => {
      const answer = await server.operator.api
        .as(null)
        .get(path, { Authorization: 'Bearer metrics-token-of-the-tests-0123456789' });
      expect(answer.status).toBe(200);
      expect(answer.text).not.toMatch(/theirs|\b(acc|i|org|key|evt)_[0-9a-z]{25}\b/);
    },
  );
});

const sameRequest = { 'X-Request-Id': 'tenancy' };

/** The page of a refused request shows the client id that came, whosever it is. */
function withoutEcho(text: string, path: string): string {
  const clientId = new URL(path, server.url).searchParams.get('client_id');
  return clientId === null ? text : text.replaceAll(clientId, 'the client id');
}

async function call({ method, path, key, body, rawBody, headers }: Ask) {
  sql.clear();
  const answer = await server.operator.api.as(key).request(method, path, {
    ...(body !== undefined && { body }),
    ...(rawBody !== undefined && { rawBody }),
    headers: { ...sameRequest, ...headers },
  });
  const { date: _date, ...told } = Object.fromEntries(answer.headers);
  return {
    answer: { status: answer.status, headers: told, text: withoutEcho(answer.text, path) },
    statements: sql.statements,
    lookups: sql.lookups.map(({ text }) => text),
  };
}
