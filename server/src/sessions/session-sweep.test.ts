import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createSessionSweep } from './session-sweep.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const day = 86_400;

const left = async () => {
  const [row] = await rows.query<{ sessions: number; tokens: number }>(
    `select (select count(*)::int from sessions) as sessions, (select count(*)::int from refresh_tokens) as tokens`,
  );
  return [row!.sessions, row!.tokens];
};
const sweep = async (atOnce?: number) => {
  const job = createSessionSweep(services.database, services.log, () => clock.now(), atOnce);
  job.wake();
  return job;
};
const swept = async (expected: number[], atOnce?: number) => {
  const job = await sweep(atOnce);
  await expect.poll(left, { timeout: 10_000, interval: 20 }).toEqual(expected);
  await job.close();
};

test('what is over goes a week later, and used tokens stay for as long as they could be shown again', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'a@example.com' });
  const stays = await signIn(server, issuer.id, user.id);
  const ends = await signIn(server, issuer.id, user.id);
  const expires = await signIn(server, issuer.id, user.id);
  let shown = stays.refresh_token;
  for (let turn = 0; turn < 3; turn++)
    shown = succeeded(await api.as(null).post('/auth/refresh', { refresh_token: shown })).body.refresh_token;
  succeeded(await api.post(`${issuer.path}/sessions/${ends.session_id}/revoke`));
  expect(await left()).toEqual([3, 6]);

  clock.advance(6 * day);
  await swept([3, 6]);
  clock.advance(2 * day);
  // The one that was ended, with its token.
  await swept([2, 5]);
  clock.advance(21 * day);
  shown = succeeded(await api.as(null).post('/auth/refresh', { refresh_token: shown })).body.refresh_token;
  clock.advance(2 * day);
  // Every token of the first month has expired; the session that was carried on lives by its newest.
  await swept([2, 1]);
  clock.advance(7 * day);
  await swept([1, 1]);
  const { body } = await api.get(`${issuer.path}/sessions`);
  expect(body.data.map(({ id }: { id: string }) => id)).toEqual([stays.session_id]);
  expect((await api.get(`${issuer.path}/sessions/${expires.session_id}`)).status).toBe(404);
  expect((await api.as(null).post('/auth/refresh', { refresh_token: shown })).status).toBe(200);
});

// Attack: sign in and refresh for months, and the user can't be deleted any more within one request.
test('a deleted user leaves its sessions and tokens, which go at the next turn', async () => {
  const before = await left();
  const user = await api.create(`${issuer.path}/users`, { username: 'c@example.com' });
  const session = await signIn(server, issuer.id, user.id);
  succeeded(await api.as(null).post('/auth/refresh', { refresh_token: session.refresh_token }));
  succeeded(await api.delete(`${issuer.path}/users/${user.id}`));
  const [row] = await rows.query('select ip, user_agent from sessions where user_id = $1', [user.id]);
  expect(row).toEqual({ ip: null, user_agent: null });
  expect(await left()).toEqual([before[0]! + 1, before[1]! + 2]);
  await swept(before);
});

// Attack: sign in at a client without end, and deleting the user has more clients to be told than one request can note.
test('of a deleted user’s sessions as many are noted at once as one request can, and the rest at the next turn', async () => {
  const before = await left();
  const [told, untold] = await Promise.all(
    [{ backchannel_logout_uri: 'https://app.example/told' }, {}].map((openid) =>
      OidcClient.create(server, issuer, { openid }),
    ),
  );
  const user = await api.create(`${issuer.path}/users`, { username: 'd@example.com' });
  const other = await api.create(`${issuer.path}/users`, { username: 'e@example.com' });
  const sessions = (of: { id: string }, client: string, count: number, seconds: number) =>
    rows.query(
      `insert into sessions (id, account_id, issuer_id, user_id, client_id, amr, auth_time, created_at, last_used_at, refreshes_since, expires_at)
       select 's_' || id || $2 || $4::int || n, account_id, issuer_id, id, $2, '{otp}', $3, $3, $3, $3,
         $3::timestamptz + make_interval(secs => $4::int)
       from users, generate_series(1, $5::int) n where id = $1`,
      [of.id, client, clock.now(), seconds, count],
    );
  await sessions(user, told!.id, 1_030, 60);
  await sessions(user, told!.id, 20, -60);
  await sessions(user, untold!.id, 20, 60);
  await sessions(other, told!.id, 20, 60);
  const noted = () =>
    rows.query<{ user_id: string; count: number }>(
      `select user_id, count(distinct session_id)::int from logout_notices where client_id = any ($1) group by user_id`,
      [[told!.id, untold!.id]],
    );
  succeeded(await api.delete(`${issuer.path}/users/${user.id}`));
  const [atOnce] = await noted();
  expect(atOnce!.user_id).toBe(user.id);
  expect(atOnce!.count).toBeGreaterThan(900);
  expect(atOnce!.count).toBeLessThanOrEqual(1_000);
  await swept([before[0]! + 20, before[1]!], 50);
  expect(await noted()).toEqual([{ user_id: user.id, count: 1_030 }]);
  await rows.query('delete from sessions where user_id = $1', [other.id]);
});

test('a session that its client has not been told of is not swept, whoever has it in hand', async () => {
  const told = await OidcClient.create(server, issuer, {
    openid: { backchannel_logout_uri: 'https://app.example/told' },
  });
  const user = await api.create(`${issuer.path}/users`, { username: 'f@example.com' });
  await rows.query(
    `insert into sessions (id, account_id, issuer_id, user_id, client_id, amr, auth_time, created_at, last_used_at, refreshes_since, ended_at, end_reason, expires_at)
     select 's_untold' || n, account_id, issuer_id, id, $2, '{otp}', $3, $3, $3, $3, $3, 'revoked', $4
     from users, generate_series(1, 3) n where id = $1`,
    [user.id, told.id, clock.now(), new Date(-1)],
  );
  const sessions = () => rows.query(`select id from sessions where client_id = $1`, [told.id]);
  await rows.query('begin');
  await rows.query(`select from sessions where client_id = $1 for update`, [told.id]);
  await swept(await left(), 50);
  await rows.query('rollback');
  expect(await sessions()).toHaveLength(3);
  await swept([(await left())[0]! - 3, (await left())[1]!], 50);
  const noted = await rows.query('select from logout_notices where client_id = $1', [told.id]);
  expect(noted).toHaveLength(3);
});

test('goes in steps of bounded length', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'b@example.com' });
  await rows.query(
    `insert into sessions (id, account_id, issuer_id, user_id, client_id, amr, auth_time, created_at, last_used_at, refreshes_since, expires_at)
     select 's_' || n, account_id, issuer_id, id, 'otp', '{otp}', $2, $2, $2, $2, $2
     from users, generate_series(1, 130) n where id = $1`,
    [user.id, clock.now()],
  );
  await rows.query(
    `insert into refresh_tokens (digest, digest_generation, account_id, issuer_id, session_id, created_at, expires_at)
     select sha256(convert_to(s.id || n, 'utf8')), 1, account_id, issuer_id, s.id, created_at, expires_at + interval '1 year'
     from sessions s, generate_series(1, 3) n where s.user_id = $1`,
    [user.id],
  );
  await rows.query('create table batches (size integer)');
  await rows.query(`
    create function note_batch() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.batches select count(*) from gone;
      return null;
    end $$`);
  for (const table of ['sessions', 'refresh_tokens']) {
    await rows.query(`create trigger note_batch after delete on ${table} referencing old table as gone
      for each statement execute function note_batch()`);
  }
  const [sessions, tokens] = await left();
  expect([sessions! - 130, tokens! - 390].every((rest) => rest >= 0)).toBe(true);
  clock.advance(8 * day);
  await swept([sessions! - 130, tokens! - 390], 50);
  const [batches] = await rows.query('select max(size)::int as most from batches');
  expect(batches).toEqual({ most: 50 });
});
