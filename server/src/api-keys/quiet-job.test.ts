import { afterAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { retireQuietKeys } from './quiet-job.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const other = await startTestServer({ clock, nodeOf: server });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await other.close();
  await server.close();
});
const { id: accountId, key: customer, api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const silent = server.running.services.log;
const [minute, day] = [60, 86_400];
const now = () => clock.now().toISOString();

/** As the jobs of both nodes do at the same moment, until nothing is left. */
async function retireAll(): Promise<void> {
  const databases = [server.running.services.database, other.running.services.database];
  for (let round = 0; round < 20; round++) {
    const more = await Promise.all(
      databases.map((database) => retireQuietKeys(database, silent, clock.now())),
    );
    if (!more.includes(true)) return;
  }
  throw new Error('the job finds something to do for ever');
}

const verify = async (secret: string, node = server) => {
  const answer = await new ApiClient(node.url, customer).post('/v1/keys/verify', { key: secret });
  return answer.body.code as string;
};
const use = (keyId: string) => meter(rows, [{ accountId, keyId, issuerId: issuer.id, at: clock.now() }]);
const retirementsOf = async (keyId: string) =>
  (await api.get(`/v1/events?type=api-key.retired&subject=${keyId}`)).body.data;
const rotated = async (body: object = { retire: 'when-quiet' }) => {
  const key = await issuer.createKey({ name: 'billing' });
  const { id: successorId } = await api.create(`${key.path}/rotate`, body);
  return { ...key, successorId };
};

test('a key retires once nobody has used it for a day, on every node, and its event tells why', async () => {
  const key = await rotated();
  await use(key.id);
  const usedAt = now();
  clock.advance(day);
  await retireAll();
  // A minute is left to a node that has not told yet.
  const before = await api.get(key.path);
  expect(before.body.data.status).toBe('active');
  clock.advance(minute);
  await retireAll();
  await retireAll();
  const after = await api.get(key.path);
  expect(after.body.data).toMatchObject({ status: 'expired', retire: 'when-quiet', retires_at: now() });
  expect(after.headers.get('ETag')).not.toBe(before.headers.get('ETag'));
  expect(await retirementsOf(key.id)).toEqual([
    expect.objectContaining({
      actor: { type: 'system', id: 'key-retirement', ip: null, user_agent: null },
      issuer_id: issuer.id,
      data: {
        reason: 'quiet',
        name: 'billing',
        hint: before.body.data.hint,
        successor_id: key.successorId,
        last_used_at: usedAt,
      },
    }),
  ]);
  for (const node of [server, other])
    await expect.poll(() => verify(key.secret, node), { timeout: 5_000 }).toBe('EXPIRED');
});

test('one that was never used since retires a day after its rotation, and its successor lives on', async () => {
  const key = await rotated();
  clock.advance(day + minute);
  await retireAll();
  const [event] = await retirementsOf(key.id);
  expect(event.data).toMatchObject({ reason: 'quiet', last_used_at: null });
  expect((await api.get(`${issuer.path}/api-keys/${key.successorId}`)).body.data.status).toBe('active');
});

// The race: the last consumer that still has the old secret uses it, as it does every day, just before the day is over.
test('a use in the last moment keeps it for another day', async () => {
  const key = await rotated();
  for (let days = 0; days < 3; days++) {
    clock.advance(day - 1);
    await use(key.id);
    clock.advance(minute);
    await retireAll();
    expect((await api.get(key.path)).body.data.status).toBe('active');
  }
  clock.advance(day + minute);
  await retireAll();
  expect(await retirementsOf(key.id)).toHaveLength(1);
});

test('when the grace ends first the key has expired, and nothing is told of it being quiet', async () => {
  const key = await rotated({ retire: 'when-quiet', grace_seconds: 3 * 3600 });
  const { retires_at } = (await api.get(key.path)).body.data;
  clock.advance(day + minute);
  await retireAll();
  expect((await api.get(key.path)).body.data).toMatchObject({ status: 'expired', retires_at });
  expect(await retirementsOf(key.id)).toEqual([]);
});

describe('is left alone', () => {
  test('a key that retires after its grace, one that was not rotated and one that is out of use', async () => {
    const afterGrace = await rotated({ grace_seconds: 30 * day });
    const plain = await issuer.createKey();
    const disabled = await rotated();
    const revoked = await rotated();
    succeeded(await api.post(`${disabled.path}/disable`));
    succeeded(await api.post(`${revoked.path}/revoke`));
    const keys = [afterGrace, plain, disabled, revoked];
    const read = () => Promise.all(keys.map(async ({ path }) => (await api.get(path)).headers.get('ETag')));
    const before = await read();
    clock.advance(2 * day);
    await retireAll();
    expect(await read()).toEqual(before);
    // Once it is in use again it is held to the same.
    succeeded(await api.post(`${disabled.path}/enable`));
    await retireAll();
    expect(await retirementsOf(disabled.id)).toHaveLength(1);
  });
});

test('unless it is said the grace of such a rotation is 30 days', async () => {
  const key = await rotated();
  const endsAt = new Date(clock.nowMs() + 30 * day * 1000).toISOString();
  expect((await api.get(key.path)).body.data).toMatchObject({ retires_at: endsAt, retire: 'when-quiet' });
});

test('more keys than one round takes all retire, of each account its own', async () => {
  const stranger = await createCustomer(server);
  const theirs = await TestIssuer.create(server, {}, {}, stranger.api);
  const keys = await Promise.all(Array.from({ length: 20 }, () => theirs.createKey()));
  for (const { path } of keys) await stranger.api.create(`${path}/rotate`, { retire: 'when-quiet' });
  const own = await rotated();
  clock.advance(day + minute);
  await retireAll();
  const told = (await stranger.api.get('/v1/events?type=api-key.retired&limit=100')).body.data;
  expect(told.map((event: { subject: { id: string } }) => event.subject.id).sort()).toEqual(
    keys.map(({ id }) => id).sort(),
  );
  expect(await retirementsOf(own.id)).toHaveLength(1);
});
