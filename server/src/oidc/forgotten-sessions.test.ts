import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createSessionSweep } from '../sessions/session-sweep.ts';

/*
 * Attack: a session has ended because a token of it was stolen, and is forgotten a week later. The browser that it came from is
 * still signed in; what it begins then must be no session in which the stolen token counts again.
 */

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const { database, log } = server.running.services;

/** A week later the session is gone. */
async function forget(sessionId: string): Promise<void> {
  clock.advance(8 * 86_400);
  const sweep = createSessionSweep(database, log, () => clock.now());
  sweep.wake();
  const left = () => rows.query(`select id from sessions where id = '${sessionId}'`);
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  await sweep.close();
}

test.each(['first_party', 'external'] as const)('a revoked refresh token of a %s client', async (type) => {
  const client = await OidcClient.create(server, issuer, { type });
  const user = await api.create(`${issuer.path}/users`, { username: `${type}@example.com` });
  const browser = new OidcBrowser(server);
  const stolen = await client.signIn(browser, { userId: user.id });
  succeeded(await client.post('/revoke', { token: stolen.refresh_token! }));
  const { sid } = claimsOf(stolen.id_token!);
  await forget(sid);
  const again = await client.signIn(browser, { userId: user.id });
  expect(claimsOf(again.id_token!).sid).not.toBe(sid);
  expect((await client.refresh(stolen.refresh_token!)).body.error).toBe('invalid_grant');
  expect((await client.refresh(again.refresh_token!)).status).toBe(200);
});

test('the token that came of the first use of one that was used twice', async () => {
  const client = await OidcClient.create(server, issuer);
  const user = await api.create(`${issuer.path}/users`, { username: 'twice@example.com' });
  const browser = new OidcBrowser(server);
  const first = await client.signIn(browser, { userId: user.id });
  const { body: next } = succeeded(await client.refresh(first.refresh_token!));
  expect((await client.refresh(first.refresh_token!)).body.error).toBe('invalid_grant');
  await forget(claimsOf(first.id_token!).sid);
  await client.signIn(browser, { userId: user.id });
  expect((await client.refresh(next.refresh_token)).body.error).toBe('invalid_grant');
});

test('also where a session is begun under the same id: what is older than it does not count', async () => {
  const client = await OidcClient.create(server, issuer);
  const user = await api.create(`${issuer.path}/users`, { username: 'same@example.com' });
  const stolen = await client.signIn(new OidcBrowser(server), { userId: user.id });
  const { sid } = claimsOf(stolen.id_token!);
  await rows.query(`update sessions set created_at = created_at + interval '2 hours' where id = '${sid}'`);
  expect((await client.refresh(stolen.refresh_token!)).body.error).toBe('invalid_grant');
});
