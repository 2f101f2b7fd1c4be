import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { newRefreshToken } from '../src/sessions/refresh-token.ts';
import { createCustomer } from './harness/customer.ts';
import { type RawAnswer, send } from './harness/raw-http.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, TestClock } from './harness/server.ts';
import { signIn } from './harness/sign-in.ts';
import { SlowLookups } from './harness/slow-lookups.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

/*
 * Attack: somebody shows refresh tokens as fast as connections take them, good or long dead. Whose a token is has to be
 * asked for, and only so many may be asked for at once: everybody else's users wait behind the flood, and are refused.
 */

const clock = new TestClock();
const server = await startTestServer({ clock });
const proxied = await startTestServer({
  nodeOf: server,
  clock,
  env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
});
afterAll(async () => {
  await proxied.close();
  await server.close();
});

async function newSession() {
  const { api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const user = await api.create(`${issuer.path}/users`, { username: 'a@example.com' });
  return { ...(await signIn(server, issuer.id, user.id)), path: issuer.path, api };
}

function refresh(token: string, ip?: string, operation = 'refresh'): Promise<RawAnswer> {
  return send(`${ip === undefined ? server.url : proxied.url}/auth/${operation}`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...(ip !== undefined && { 'X-Forwarded-For': ip, 'X-Forwarded-Proto': 'https' }),
    },
    body: JSON.stringify({ refresh_token: token }),
  });
}

const isOfTokens = (name: string) => name === 'lookup_refresh_token';

function statusesOf(answers: readonly RawAnswer[]): number[] {
  return [...new Set(answers.map(({ status }) => status))].sort();
}

test('one dead token that many connections repeat costs two look-ups, and keeps nobody else waiting', async () => {
  const [attacker, victim] = [await newSession(), await newSession()];
  succeeded(await attacker.api.post(`${attacker.path}/sessions/${attacker.session_id}/revoke`));
  using slow = new SlowLookups(server, isOfTokens, 500);
  const flood = Array.from({ length: scaled(200, 1_100) }, () => refresh(attacker.refresh_token));
  // Once it is in: the first of it has been asked for.
  await expect.poll(() => slow.count, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  const { status } = await refresh(victim.refresh_token);
  const told = statusesOf(await Promise.all(flood));
  expect([status, told]).toEqual([200, [401]]);
  expect(slow.count).toBeLessThanOrEqual(4);
});

test('different tokens from one network keep no other network waiting', async () => {
  const victim = await newSession();
  const { secrets } = proxied.running.services;
  using _slow = new SlowLookups(proxied, isOfTokens, 400);
  let goesOn = true;
  let turnedAway = 0;
  const statuses = new Set<number>();
  const isFull = Promise.withResolvers<void>();
  const flood = Array.from({ length: 250 }, async (_, index) => {
    while (goesOn) {
      const { status } = await refresh(newRefreshToken(secrets).token, '203.0.113.7');
      statuses.add(status);
      if (status !== 503) continue;
      // No longer all in step: there is no moment at which nobody waits.
      if (++turnedAway === 500) isFull.resolve();
      await sleep(index % 50);
    }
  });
  await isFull.promise;
  const { status } = await refresh(victim.refresh_token, '203.0.113.8');
  goesOn = false;
  await Promise.all(flood);
  expect(status).toBe(200);
  expect([...statuses].sort()).toEqual([401, 503]);
});

test('what is dead is asked for once in a while, by refresh and by logout alike', async () => {
  const { refresh_token: token, path, session_id: id, api } = await newSession();
  succeeded(await api.post(`${path}/sessions/${id}/revoke`));
  const unknown = newRefreshToken(server.running.services.secrets).token;
  const expired = await newSession();
  clock.advance(31 * 86_400);
  using slow = new SlowLookups(server, isOfTokens, 0);
  for (const dead of [token, unknown, expired.refresh_token]) {
    for (const operation of ['refresh', 'logout', 'refresh', 'logout']) {
      const { status, text } = await refresh(dead, undefined, operation);
      expect([status, text]).toEqual([401, '{"error":"Invalid token","code":"INVALID_TOKEN"}']);
    }
  }
  expect(slow.count).toBe(3);
});

// Attack on ourselves: a token that was used is remembered as dead, and the thief who shows it goes unnoticed.
test('what is not dead yet is asked for each time', async () => {
  const session = await newSession();
  const used = session.refresh_token;
  using slow = new SlowLookups(server, isOfTokens, 0);
  const { status, body } = await refresh(used);
  expect(status).toBe(200);
  expect((await refresh(used)).status).toBe(401);
  expect(slow.count).toBe(2);
  // The reuse has ended its session, and with it the winner's token.
  expect((await refresh(body.refresh_token)).status).toBe(401);
});
