import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

/*
 * Attack: redeem one refresh token many times at the same moment, at one node or at several, and come away with two
 * sessions; or keep the one that was first, though somebody else has shown the same token.
 */

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await node.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const nobody = [api.as(null), node.operator.api.as(null)] as const;
let made = 0;
const newSession = async () => {
  const user = await api.create(`${issuer.path}/users`, { username: `user-${++made}@example.com` });
  return signIn(server, issuer.id, user.id);
};
const refresh = (token: string, at: 0 | 1 = 0) => nobody[at].post('/auth/refresh', { refresh_token: token });
const me = async (token: string, at: 0 | 1 = 0) =>
  (await nobody[at].get('/auth/me', { Authorization: `Bearer ${token}` })).status;

describe('50 redemptions of one token at once', () => {
  test(
    'have one winner, no error, and afterwards nothing of the session is good, the winner’s tokens included',
    async () => {
      for (let round = 0; round < scaled(5, 100); round++) {
        const { token, refresh_token: shown, session_id: sid } = await newSession();
        const { result: answers, events } = await rows.eventsOf(() =>
          Promise.all(Array.from({ length: 50 }, (_, index) => refresh(shown, index % 2 === 0 ? 0 : 1))),
        );
        const winners = answers.filter(({ status }) => status === 200);
        expect(winners.length).toBe(1);
        expect(answers.filter(({ status }) => status === 401).length).toBe(49);
        expect(events).toMatchObject([
          { type: 'session.terminated', subject_id: sid, data: { reason: 'refresh_reuse' } },
        ]);
        const [{ body: won }] = winners as [(typeof winners)[0]];
        for (const at of [0, 1] as const) {
          expect([await me(token, at), await me(won.token, at)]).toEqual([401, 401]);
          expect((await refresh(won.refresh_token, at)).status).toBe(401);
          expect((await refresh(shown, at)).status).toBe(401);
        }
      }
    },
    scaled(60_000, 600_000),
  );

  test('of the newest token, while it is revoked, leave nothing behind that is good', async () => {
    const { refresh_token: shown, session_id: sid } = await newSession();
    const [answers] = await Promise.all([
      Promise.all(Array.from({ length: 10 }, () => refresh(shown))),
      api.post(`${issuer.path}/sessions/${sid}/revoke`),
    ]);
    for (const { status, body } of answers) {
      expect([200, 401]).toContain(status);
      if (status === 200)
        expect([await me(body.token), (await refresh(body.refresh_token)).status]).toEqual([401, 401]);
    }
  });
});

describe('a token that was used', () => {
  test('is known for what it is by another node, and by one that has been started anew', async () => {
    const [one, two] = [await newSession(), await newSession()];
    const nextOfOne = succeeded(await refresh(one.refresh_token)).body;
    const nextOfTwo = succeeded(await refresh(two.refresh_token)).body;
    expect((await refresh(one.refresh_token, 1)).status).toBe(401);
    expect([await me(nextOfOne.token), (await refresh(nextOfOne.refresh_token)).status]).toEqual([401, 401]);

    const restarted = await startTestServer({ nodeOf: server });
    const client = restarted.operator.api.as(null);
    expect((await client.post('/auth/refresh', { refresh_token: two.refresh_token })).status).toBe(401);
    await restarted.close();
    expect([await me(nextOfTwo.token), (await refresh(nextOfTwo.refresh_token)).status]).toEqual([401, 401]);
  });
});

describe('what is ended at one node', () => {
  test.each([
    [
      'a revoked session',
      (_user: string, session: string) => api.post(`${issuer.path}/sessions/${session}/revoke`),
    ],
    ['a suspended user', (user: string) => api.post(`${issuer.path}/users/${user}/suspend`)],
    ['a deleted user', (user: string) => api.delete(`${issuer.path}/users/${user}`)],
  ])('%s is refused at the other by the next request', async (_name, end) => {
    const session = await newSession();
    expect(await me(session.token, 1)).toBe(200);
    succeeded(await end(session.user.id, session.session_id));
    expect([await me(session.token, 0), await me(session.token, 1)]).toEqual([401, 401]);
    expect((await refresh(session.refresh_token, 1)).status).toBe(401);
  });

  test('a suspended issuer’s tokens are refused at the other by the next request', async () => {
    const own = await TestIssuer.create(server, {}, {}, api);
    const user = await api.create(`${own.path}/users`, { username: 'a@example.com' });
    const session = await signIn(server, own.id, user.id);
    expect(await me(session.token, 1)).toBe(200);
    succeeded(await api.post(`${own.path}/suspend`));
    expect([await me(session.token, 0), await me(session.token, 1)]).toEqual([403, 403]);
    await expect
      .poll(async () => (await refresh(session.refresh_token, 1)).status, { timeout: 5_000, interval: 100 })
      .toBe(403);
  });
});

// Attack: read a dump of the database, and sign in by what stands in it.
test('the database holds nothing that a session could be carried on by', async () => {
  const session = await newSession();
  const next = succeeded(await refresh(session.refresh_token)).body;
  const tables = await rows.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'gatelodge'`,
  );
  let dump = '';
  for (const { name } of tables) {
    const found = await rows.query<{ row: string }>(`select t::text as row from ${name} t`);
    dump += found.map(({ row }) => row).join('\n');
  }
  expect(dump).toContain(session.session_id);
  const shown = [session.refresh_token, next.refresh_token, session.token, next.token];
  for (const token of shown) {
    const random = token.startsWith('gl_rt_') ? token.slice(8, 51) : token.split('.')[2]!;
    for (const form of [token, random, Buffer.from(random, 'base64url').toString('hex')])
      expect(dump).not.toContain(form);
  }
  const digests = await rows.query<{ digest: Buffer }>('select digest from refresh_tokens');
  for (const { digest } of digests) {
    for (const text of [
      digest.toString('hex'),
      digest.toString('base64url'),
      `gl_rt_1_${digest.toString('base64url')}`,
    ])
      expect((await refresh(text)).status).toBe(401);
  }
});
