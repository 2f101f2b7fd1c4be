import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { giveDueNotices } from './notice-job.ts';

const clock = new TestClock('2026-01-01T12:00:00.000Z');
const server = await startTestServer({ clock });
const other = await startTestServer({ clock, nodeOf: server });
afterAll(async () => {
  await other.close();
  await server.close();
});
const customer = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, customer.api);
const silent = server.running.services.log;
const daySeconds = 86_400;

/** As the jobs of both nodes do at the same moment, until nothing is left. */
async function giveAll(): Promise<void> {
  const databases = [server.running.services.database, other.running.services.database];
  for (let round = 0; round < 20; round++) {
    const more = await Promise.all(
      databases.map((database) => giveDueNotices(database, silent, clock.now())),
    );
    if (!more.includes(true)) return;
  }
  throw new Error('the job finds something to do for ever');
}

async function noticesOf(keyId: string): Promise<string[]> {
  const types = ['api-key.expiring', 'api-key.rotation_due'];
  const lists = await Promise.all(types.map((type) => customer.api.get(`/v1/events?type=${type}&limit=100`)));
  return lists
    .flatMap(({ body }) => body.data)
    .filter((event) => event.subject.id === keyId)
    .map((event) => `${event.type} ${event.data.days_left}`);
}

test('each notice is written once, however many nodes look for it, and a PATCH of the expiry moves it', async () => {
  const key = await issuer.createKey({ name: 'billing', expires_at: '2026-01-20T12:00:00Z' });
  await giveAll();
  expect(await noticesOf(key.id)).toEqual([]);

  clock.advance(12 * daySeconds);
  await giveAll();
  await giveAll();
  expect(await noticesOf(key.id)).toEqual(['api-key.expiring 7']);
  const event = (await customer.api.get('/v1/events?type=api-key.expiring')).body.data[0];
  expect(event).toMatchObject({
    issuer_id: issuer.id,
    actor: { type: 'system', id: 'key-notices' },
    data: { name: 'billing', days_left: 7, expires_at: '2026-01-20T12:00:00.000Z' },
  });

  const before = await customer.api.get(key.path);
  succeeded(await customer.api.patch(key.path, { expires_at: '2026-02-20T12:00:00Z' }));
  clock.advance(9 * daySeconds);
  await giveAll();
  expect(await noticesOf(key.id)).toEqual(['api-key.expiring 30', 'api-key.expiring 7']);
  const after = await customer.api.get(key.path);
  // Telling changes nothing that anybody reads of the key: only the PATCH has.
  expect(Number(after.headers.get('ETag')!.replaceAll('"', ''))).toBe(
    Number(before.headers.get('ETag')!.replaceAll('"', '')) + 1,
  );
});

// The race: somebody changes the key after a notice has fallen due and before the job has come round.
test('a notice that is due is given, whatever is changed of the key meanwhile', async () => {
  const inDays = (days: number) => new Date(clock.nowMs() + days * daySeconds * 1000).toISOString();
  const key = await issuer.createKey({ expires_at: inDays(8) });
  clock.advance(daySeconds + 20);
  succeeded(await customer.api.patch(key.path, { description: 'changed' }));
  await giveAll();
  expect(await noticesOf(key.id)).toEqual(['api-key.expiring 7']);
});

test('a key from before notices has its next one from the first round on', async () => {
  const rows = await Rows.open(server.database);
  const expiresAt = new Date(clock.nowMs() + 20 * daySeconds * 1000).toISOString();
  const key = await issuer.createKey({ expires_at: expiresAt });
  // As the migration leaves it.
  await rows.query('update api_keys set next_notice_at = $2 where id = $1', [key.id, clock.now()]);
  await giveAll();
  expect(await noticesOf(key.id)).toEqual([]);
  const [row] = await rows.query('select next_notice_at from api_keys where id = $1', [key.id]);
  expect(row!.next_notice_at).toEqual(new Date(Date.parse(expiresAt) - 7 * daySeconds * 1000));
  await rows.close();
});

test('a key is due to be rotated after 90 days, unless it has been or is out of use', async () => {
  const [kept, rotated, revoked, disabled] = await Promise.all(
    Array.from({ length: 4 }, () => issuer.createKey()),
  );
  succeeded(await customer.api.post(`${rotated!.path}/rotate`, { grace_seconds: 2_592_000 }));
  succeeded(await customer.api.post(`${revoked!.path}/revoke`));
  succeeded(await customer.api.post(`${disabled!.path}/disable`));
  for (const days of [60, 23, 6, 1]) {
    clock.advance(days * daySeconds);
    await giveAll();
  }
  expect(await noticesOf(kept!.id)).toEqual([
    'api-key.rotation_due 0',
    'api-key.rotation_due 1',
    'api-key.rotation_due 7',
    'api-key.rotation_due 30',
  ]);
  for (const quiet of [rotated, revoked, disabled]) expect(await noticesOf(quiet!.id)).toEqual([]);
  succeeded(await customer.api.post(`${disabled!.path}/enable`));
  await giveAll();
  expect(await noticesOf(disabled!.id)).toEqual(['api-key.rotation_due 0']);
});

test('more keys than one round takes are all told, and each account sees its own alone', async () => {
  const stranger = await createCustomer(server);
  const theirs = await TestIssuer.create(server, {}, {}, stranger.api);
  const keys = await Promise.all(Array.from({ length: 30 }, () => theirs.createKey()));
  clock.advance(90 * daySeconds);
  await giveAll();
  const seen = (await stranger.api.get('/v1/events?type=api-key.rotation_due&limit=100')).body.data;
  const told = seen.map((event: { subject: { id: string } }) => event.subject.id);
  for (const { id } of keys) expect(told.filter((candidate: string) => candidate === id)).toHaveLength(1);
  const ours = await customer.api.get('/v1/events?type=api-key.rotation_due&limit=100');
  expect(ours.body.data.every((event: { account_id: string }) => event.account_id === customer.id)).toBe(
    true,
  );
});

// Attack: an account with very many overdue keys, whose turn fails each time, takes every place there is in a round.
test('an account with many overdue keys takes one place in a round', async () => {
  const rows = await Rows.open(server.database);
  const [many, one] = await Promise.all([createCustomer(server), createCustomer(server)]);
  const ofMany = await TestIssuer.create(server, {}, {}, many.api);
  const ofOne = await TestIssuer.create(server, {}, {}, one.api);
  for (let index = 0; index < 10; index++) await ofMany.createKey();
  await ofOne.createKey();
  clock.advance(60 * daySeconds);
  const due = await rows.query<{ id: string }>('select lookup_accounts_with_notices($1, 1000) as id', [
    clock.now(),
  ]);
  const ids = due.map(({ id }) => id);
  for (const { id } of [many, one]) expect(ids.filter((each) => each === id)).toHaveLength(1);
  await giveAll();
  await rows.close();
});
