import { afterAll, beforeEach, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

/*
 * Attack of the network on ourselves: a refresh is committed and the answer of its commit is lost. The client is told to
 * come back, shows the token again, and is taken for a thief: whoever is signed in while Postgres fails over is out.
 */

// A server whose way to Postgres can be cut, beside one on the same database whose way cannot.
const server = await startTestServer();
const proxy = await PostgresProxy.start(server.database.appUrl);
const rows = await Rows.open(server.database);
const node = await startTestServer({
  nodeOf: server,
  env: { DATABASE_URL: proxy.url(server.database.appUrl) },
});
afterAll(async () => {
  await node.close();
  await proxy.close();
  await rows.close();
  await server.close();
});

const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const nobody = node.operator.api.as(null);
const refresh = (token: string) => nobody.post('/auth/refresh', { refresh_token: token });

// Not what the start of a connection says of its isolation.
const commit = 'commit\0';

let made = 0;
async function newSession() {
  const user = await api.create(`${issuer.path}/users`, { username: `user-${++made}@example.com` });
  const session = await signIn(server, issuer.id, user.id);
  const stored = async () => {
    const tokens = await rows.query<{ isUsed: boolean }>(
      `select used_at is not null as "isUsed" from refresh_tokens where session_id = $1 order by created_at`,
      [session.session_id],
    );
    return tokens.map(({ isUsed }) => isUsed);
  };
  return { ...session, stored };
}

// The node reaches Postgres, also by connections that it keeps for later.
beforeEach(async () => {
  proxy.thaw();
  for (const path of ['/readyz', '/v1/account'])
    await expect
      .poll(async () => (await node.operator.api.get(path)).status, { timeout: 20_000, interval: 50 })
      .toBe(200);
});

test('200 where it has been carried out, and its token is the one that is good', async () => {
  const session = await newSession();
  proxy.cutAfter(commit);
  const answer = await refresh(session.refresh_token);
  expect([answer.status, await session.stored()]).toEqual([200, [true, false]]);
  expect((await refresh(answer.body.refresh_token)).status).toBe(200);
});

test('503 with Retry-After where it has not been carried out, and the token is good as before', async () => {
  const session = await newSession();
  const isSwallowed = proxy.swallow(commit);
  const waiting = refresh(session.refresh_token);
  await isSwallowed;
  // Postgres learns that the connection is gone, and ends the transaction.
  proxy.cut();
  const answer = await waiting;
  expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '1']);
  expect(await session.stored()).toEqual([false]);
  await expect
    .poll(async () => (await refresh(session.refresh_token)).status, { timeout: 20_000, interval: 50 })
    .toBe(200);
});

test('503 that asks nobody to come back where nobody knows: the transaction has not ended', async () => {
  const session = await newSession();
  void proxy.swallow(commit);
  const answer = await refresh(session.refresh_token);
  expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, null]);
  expect(answer.body).toEqual({ error: expect.stringContaining('not known'), code: 'UNAVAILABLE' });
  proxy.cut();
});
