import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createLog } from '../logs/log.ts';
import { resolveMasterKey } from '../secrets/master-key.ts';
import { rotateInstallationSecret } from '../secrets/secret-rotation.ts';
import { createRecordSweep } from './record-sweep.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const userId = user.id as string;
const { services } = server.running;

test('what has expired is swept away in steps, what has not stays', async () => {
  const tokens = await client.signIn(new OidcBrowser(server), { userId });
  for (let count = 0; count < 3; count++) await client.code(new OidcBrowser(server), { userId });
  await rows.query(
    `update oidc_records set expires_at = now() - interval '1 hour' where model = 'AuthorizationCode'`,
  );
  const log = createLog('fatal');
  const sweep = createRecordSweep(services.database, log, () => services.clock.now(), 2);
  sweep.start();
  sweep.wake();
  for (let tries = 0; tries < 100; tries++) {
    const [{ count }] = (await rows.query(
      `select count(*)::int as count from oidc_records where model = 'AuthorizationCode'`,
    )) as [{ count: number }];
    if (count === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await sweep.close();
  const left = await rows.query(`select distinct model from oidc_records order by 1`);
  expect(left.some(({ model }) => model === 'AuthorizationCode')).toBe(false);
  expect((await client.refresh(tokens.refresh_token!)).status).toBe(200);
});

// Whoever can write to the database must not be able to make a session of one user that of another.
test('a record that was moved to another row or altered opens nothing', async () => {
  const first = await client.signIn(new OidcBrowser(server), { userId });
  const second = await client.signIn(new OidcBrowser(server), { userId });
  const tokens = (await rows.query(
    `select encode(digest, 'hex') as digest from oidc_records where model = 'RefreshToken' order by created_at desc limit 2`,
  )) as { digest: string }[];
  const [newest, older] = tokens;
  await rows.query(
    `update oidc_records set sealed = (select sealed from oidc_records where digest = decode($1, 'hex'))
      where digest = decode($2, 'hex')`,
    [older!.digest, newest!.digest],
  );
  const answer = await client.refresh(second.refresh_token!);
  expect([answer.status, answer.body.error]).toEqual([500, 'server_error']);
  expect((await client.refresh(first.refresh_token!)).status).toBe(200);
});

test('new generations of its secrets change nothing for who is signed in', async () => {
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId });
  const masterKey = await resolveMasterKey(services.settings);
  for (const purpose of ['oidc', 'cookie'] as const)
    await rotateInstallationSecret(services.pool, masterKey, purpose);
  await services.secrets.reload();
  expect(services.secrets.generations('oidc').length).toBe(2);
  const again = await client.signIn(browser, { userId }, { prompt: 'none' });
  expect((await client.refresh(again.refresh_token!)).status).toBe(200);
  expect((await client.refresh(tokens.refresh_token!)).status).toBe(200);
  expect((await client.refresh(tokens.refresh_token!)).status).toBe(400);
});

test('with the issuer everything of its runtime goes', async () => {
  const doomed = await TestIssuer.create(server, {}, {}, api);
  const theirs = await OidcClient.create(server, doomed);
  const theirUser = await api.create(`${doomed.path}/users`, { username: 'ada@example.com' });
  await theirs.signIn(new OidcBrowser(server), { userId: theirUser.id });
  succeeded(await api.delete(doomed.path));
  const left = async () =>
    (await rows.query(`select from oidc_records where issuer_id = $1`, [doomed.id])).length;
  for (let tries = 0; tries < 500 && (await left()) > 0; tries++) {
    services.issuerDeletion.wake();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(await left()).toBe(0);
  expect(accountId).toMatch(/^acc_/);
});
