import { afterAll, afterEach, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createSessionEnds } from './session-ends.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
// Its place is taken by one of the test's own, which does its work when it is told to.
await server.running.services.sessionEnds.close();
const { database, log, clock } = server.running.services;
const jobs: ReturnType<typeof createSessionEnds>[] = [];
afterEach(async () => {
  for (const job of jobs.splice(0)) await job.close();
});
function work() {
  const job = createSessionEnds(database, log, clock.now);
  jobs.push(job);
  job.wake();
}

const many = scaled(2_500, 100_000);
let users = 0;

/** A user that has signed in once, and so many times besides; the first of all is the oldest. */
async function busyUser() {
  const { id } = await api.create(`${issuer.path}/users`, { username: `busy${users++}@example.com` });
  const first = await signIn(server, issuer.id, id);
  await rows.query(
    `insert into sessions select (jsonb_populate_record(s, jsonb_build_object('id', s.id || 'x' || n))).*
     from sessions s, generate_series(1, $2::int) n where s.id = $1`,
    [first.session_id, many],
  );
  const path = `${issuer.path}/users/${id}`;
  const left = async () =>
    (await rows.query('select id from sessions where user_id = $1 and ended_at is null', [id])).length;
  const isTaken = async () =>
    (await fetch(`${server.url}/auth/me`, { headers: { Authorization: `Bearer ${first.token}` } })).status ===
    200;
  return { id, path, left, isTaken };
}

// Attack: a user signs in so often that whoever wants to stop it runs into the limit of a statement, again and again.
test('a user with very many sessions is suspended at once, and comes back once all of them have ended', async () => {
  const user = await busyUser();
  expect(await user.isTaken()).toBe(true);
  succeeded(await api.post(`${user.path}/suspend`));
  expect(await user.isTaken()).toBe(false);
  expect(await user.left()).toBe(many + 1 - 1_000);
  // What is left would count again.
  const early = await api.post(`${user.path}/activate`);
  expect([early.status, early.body.code, early.headers.get('Retry-After')]).toEqual([
    503,
    'unavailable',
    '2',
  ]);
  work();
  await expect.poll(user.left, { timeout: scaled(60_000, 300_000) }).toBe(0);
  await expect.poll(() => api.post(`${user.path}/activate`)).toMatchObject({ status: 200 });
  expect(await user.isTaken()).toBe(false);
  const [told] = await rows.query<{ count: number; systems: number }>(
    `select count(*)::int, (count(*) filter (where actor ->> 'id' = 'session-ends'))::int as systems from events
     where type = 'session.terminated' and data ->> 'user_id' = $1 and data ->> 'reason' = 'user_suspended'`,
    [user.id],
  );
  expect(told).toEqual({ count: many + 1, systems: many + 1 - 1_000 });
});

test('all sessions of such a user are ended, and none that is begun after that', async () => {
  const user = await busyUser();
  expect(succeeded(await api.post(`${user.path}/sessions/revoke`)).body.data).toEqual({ revoked: many + 1 });
  const next = await signIn(server, issuer.id, user.id);
  work();
  await expect.poll(user.left, { timeout: scaled(60_000, 300_000) }).toBe(1);
  expect(await user.isTaken()).toBe(false);
  const answer = await fetch(`${server.url}/auth/me`, { headers: { Authorization: `Bearer ${next.token}` } });
  expect(answer.status).toBe(200);
});

test('a session that a node has begun whose clock is ahead is ended with the others', async () => {
  const { id } = await api.create(`${issuer.path}/users`, { username: 'ahead@example.com' });
  const { token, session_id } = await signIn(server, issuer.id, id);
  await rows.query(`update sessions set created_at = now() + interval '1 minute' where id = $1`, [
    session_id,
  ]);
  const revoked = await api.post(`${issuer.path}/users/${id}/sessions/revoke`);
  expect(succeeded(revoked).body.data).toEqual({ revoked: 1 });
  const answer = await fetch(`${server.url}/auth/me`, { headers: { Authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(401);
});

test('nodes that are at it at the same time end each once', async () => {
  const user = await busyUser();
  succeeded(await api.post(`${user.path}/sessions/revoke`));
  for (let node = 0; node < 3; node++) work();
  await expect.poll(user.left, { timeout: scaled(60_000, 300_000) }).toBe(0);
  const [told] = await rows.query<{ count: number }>(
    `select count(*)::int from events where type = 'session.terminated' and data ->> 'user_id' = $1`,
    [user.id],
  );
  expect(told).toEqual({ count: many + 1 });
});
