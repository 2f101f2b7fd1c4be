import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

/*
 * Attack of the network on ourselves: a code or a refresh token is redeemed and the answer of the commit is lost. A client
 * that is told to come back shows it again and is taken for a thief.
 */

// A server whose way to Postgres can be cut, beside one on the same database whose way cannot.
const server = await startTestServer();
const proxy = await PostgresProxy.start(server.database.appUrl);
const node = await startTestServer({
  nodeOf: server,
  env: { DATABASE_URL: proxy.url(server.database.appUrl) },
});
afterAll(async () => {
  await node.close();
  await proxy.close();
  await server.close();
});

const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const codesOnly = await OidcClient.create(server, issuer, {
  openid: { grant_types: ['authorization_code'] },
});
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });

// Not what the start of a connection says of its isolation.
const commit = 'commit\0';

type Shown = (at: OidcClient) => ReturnType<OidcClient['refresh']>;

async function codeOf(of: OidcClient): Promise<Shown> {
  const code = await of.code(new OidcBrowser(server), { userId: user.id });
  return (at) => at.redeem(code);
}

const kinds: [string, OidcClient, () => Promise<Shown>][] = [
  ['a code', client, () => codeOf(client)],
  ['a code of a client without refresh tokens', codesOnly, () => codeOf(codesOnly)],
  [
    'a refresh token',
    client,
    async () => {
      const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
      return (at) => at.refresh(tokens.refresh_token!);
    },
  ],
];

// The node reaches Postgres, also by connections that it keeps for later, and holds what it needs to know of the issuer.
beforeEach(async () => {
  proxy.thaw();
  for (const path of ['/readyz', `/${issuer.id}/.well-known/openid-configuration`, '/v1/account'])
    await expect
      .poll(async () => (await node.operator.api.get(path)).status, { timeout: 20_000, interval: 50 })
      .toBe(200);
  await client.at(node).refresh('never-made');
});

describe.each(kinds)('%s', (_kind, of, make) => {
  test('200 where it has been redeemed, and what is given out is good', async () => {
    const show = await make();
    proxy.cutAfter(commit);
    const { status, body } = await show(of.at(node));
    expect(status).toBe(200);
    expect((await of.userinfo(body.access_token)).status).toBe(200);
    if (body.refresh_token !== undefined) expect((await of.refresh(body.refresh_token)).status).toBe(200);
  });

  test('503 with Retry-After where it has not been redeemed, and it is good as before', async () => {
    const show = await make();
    const isSwallowed = proxy.swallow(commit);
    const waiting = show(of.at(node));
    await isSwallowed;
    // Postgres learns that the connection is gone, and ends the transaction.
    proxy.cut();
    const answer = await waiting;
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '1']);
    await expect
      .poll(async () => (await show(of.at(node))).status, { timeout: 20_000, interval: 50 })
      .toBe(200);
  });
});

test('an honest client is not taken for a thief', async () => {
  const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
  proxy.cutAfter(commit);
  const { body } = await client.at(node).refresh(tokens.refresh_token!);
  const { body: session } = await api.get(`${issuer.path}/sessions/${claimsOf(body.access_token).sid}`);
  expect(session.data.ended_at).toBeNull();
});

test('503 that asks nobody to come back where nobody knows: the transaction has not ended', async () => {
  const show = await kinds[2]![2]();
  void proxy.swallow(commit);
  const answer = await show(client.at(node));
  expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, null]);
  expect(answer.body).toEqual({
    error: 'temporarily_unavailable',
    error_description: expect.stringContaining('not known'),
  });
  proxy.cut();
});
