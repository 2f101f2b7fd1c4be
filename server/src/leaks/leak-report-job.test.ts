import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import { type EventRow, Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const second = await startTestServer({ nodeOf: server, clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await second.close();
  await server.close();
});
// Each test has the whole of its minute.
beforeEach(() => clock.advance(60));

const url = 'https://example.com/pastes/42';

async function report({ secret }: { secret: string }, node: TestServer = server, where: string = url) {
  const answer = await node.operator.api.as(null).post('/v1/keys/report-leak', { secret, url: where });
  expect(answer.status).toBe(202);
  return answer;
}

/** Nodes look at what is due every second, and at once at what they were told themselves. */
function whenAllAreSeenTo(): Promise<void> {
  return vi.waitFor(
    async () => {
      const due = await rows.query('select from leak_reports where due_at <= $1', [clock.now()]);
      expect(due.length).toBe(0);
    },
    { timeout: 10_000, interval: 20 },
  );
}

function eventsOf({ id }: { id: string }): Promise<EventRow[]> {
  return rows.query<EventRow>(
    `select * from events where subject_id = $1 and type <> 'api-key.created' order by id`,
    [id],
  );
}

async function meOf({ secret }: { secret: string }, node: TestServer = server): Promise<unknown> {
  const { body, status } = await node.operator.api
    .as(null)
    .get('/v1/me', { Authorization: `Bearer ${secret}` });
  return body?.code ?? status;
}

async function withDelay(seconds: number): Promise<Customer> {
  const customer = await createCustomer(server);
  succeeded(await customer.api.patch('/v1/account', { leak_revocation_delay_seconds: seconds }));
  return customer;
}

/** By whichever node it was revoked, the others hear of it within the second. */
function whenRefused(key: { secret: string }, node: TestServer = server): Promise<void> {
  return vi.waitFor(async () => expect(await meOf(key, node)).toBe('revoked_key'), {
    timeout: 5_000,
    interval: 20,
  });
}

const actor = { type: 'system', id: 'leak-reports', ip: null, user_agent: null };

describe('a secret key', () => {
  test('is revoked, in two events of its own account, and refused on every node', async () => {
    const { id: accountId, api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const { id: organizationId } = await issuer.createOrganization();
    const key = await issuer.createKey({}, organizationId);
    for (const node of [server, second]) expect(await meOf(key, node)).toBe(200);
    const before = await api.get(key.path);
    await report(key);
    await whenAllAreSeenTo();
    for (const node of [server, second]) await whenRefused(key, node);
    const after = await api.get(key.path);
    expect(after.body.data).toMatchObject({ status: 'revoked', revoked_at: clock.now().toISOString() });
    expect(after.headers.get('ETag')).not.toBe(before.headers.get('ETag'));
    const of = {
      account_id: accountId,
      issuer_id: issuer.id,
      organization_id: organizationId,
      environment: 'live',
      actor,
      request_id: null,
    };
    expect(await eventsOf(key)).toMatchObject([
      {
        ...of,
        type: 'api-key.leak_reported',
        data: { reported_url: url, action: 'revoked', revokes_at: clock.now().toISOString() },
      },
      { ...of, type: 'api-key.revoked', data: { reason: 'leak_reported' } },
    ]);
  });

  test('is revoked also where it is one of the account, reported with the end of its line', async () => {
    const { api } = await createCustomer(server);
    const key = await createKey(api, '/v1/api-keys');
    await report({ secret: `  ${key.secret}\r\n` });
    await whenAllAreSeenTo();
    expect((await api.get(key.path)).body.data.status).toBe('revoked');
  });

  test('50 reports at once, on two nodes, are one revocation and one event of each kind', async () => {
    const { api } = await createCustomer(server);
    const key = await createKey(api, '/v1/api-keys');
    await atOnce(50, (index) => report(key, index % 2 === 0 ? server : second));
    await whenAllAreSeenTo();
    expect((await eventsOf(key)).map(({ type }) => type)).toEqual([
      'api-key.leak_reported',
      'api-key.revoked',
    ]);
    expect((await api.get(key.path)).headers.get('ETag')).toBe('"2"');
  });

  test('that is disabled, or whose account or issuer is suspended, is revoked: those states end', async () => {
    const { id, api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const disabled = await createKey(api, '/v1/api-keys');
    succeeded(await api.post(`${disabled.path}/disable`));
    const ofIssuer = await issuer.createKey();
    succeeded(await api.post(`${issuer.path}/suspend`));
    const ofAccount = await createKey(api, '/v1/api-keys');
    succeeded(await server.operator.api.post(`/v1/accounts/${id}/suspend`));
    for (const key of [disabled, ofIssuer, ofAccount]) await report(key);
    await whenAllAreSeenTo();
    succeeded(await server.operator.api.post(`/v1/accounts/${id}/activate`));
    for (const key of [disabled, ofIssuer, ofAccount])
      expect((await api.get(key.path)).body.data.status).toBe('revoked');
  });

  test('only its own account sees what was reported', async () => {
    const [owner, other] = [await createCustomer(server), await createCustomer(server)];
    const key = await createKey(owner.api, '/v1/api-keys');
    await report(key);
    await whenAllAreSeenTo();
    const seenBy = async ({ api }: Customer) =>
      (await api.get('/v1/events?type=api-key.leak_reported')).body.data.length;
    expect([await seenBy(owner), await seenBy(other)]).toEqual([1, 0]);
  });

  test('a hostile URL comes out inert', async () => {
    // The attack: what is reported runs in the dashboard of the key’s owner, or forges a line of a log.
    const { api } = await createCustomer(server);
    const key = await createKey(api, '/v1/api-keys');
    await report(key, server, 'https://a.example/"><script>alert(1)</script>\r\nX: y\u202e\u0000\ud800');
    await whenAllAreSeenTo();
    expect((await eventsOf(key))[0]!.data.reported_url).toBe(
      'https://a.example/%22%3E%3Cscript%3Ealert(1)%3C/script%3EX: y\ufffd',
    );
  });
});

describe('where the account has chosen a delay', () => {
  test('its owner is told at once, and the key is revoked when it is over, reported once or often', async () => {
    const { api } = await withDelay(3600);
    const key = await createKey(api, '/v1/api-keys');
    await atOnce(10, (index) => report(key, index % 2 === 0 ? server : second));
    await whenAllAreSeenTo();
    const revokesAt = new Date(clock.nowMs() + 3600_000).toISOString();
    const told = { reported_url: url, action: 'scheduled', revokes_at: revokesAt };
    expect((await eventsOf(key)).map(({ type, data }) => [type, data])).toEqual([
      ['api-key.leak_reported', told],
    ]);
    expect(await meOf(key)).toBe(200);
    clock.advance(3599);
    await report(key);
    await whenAllAreSeenTo();
    expect(await meOf(key)).toBe(200);
    clock.advance(1);
    await whenAllAreSeenTo();
    await whenRefused(key);
    expect((await eventsOf(key)).map(({ type, data }) => [type, data])).toEqual([
      ['api-key.leak_reported', told],
      ['api-key.revoked', { reason: 'leak_reported' }],
    ]);
  });

  test('what was scheduled is carried out by whichever node is there when it is due', async () => {
    const own = await startTestServer({ clock });
    succeeded(await own.operator.api.patch('/v1/account', { leak_revocation_delay_seconds: 60 }));
    const key = await createKey(own.operator.api, '/v1/api-keys');
    const first = await startTestServer({ nodeOf: own, clock });
    await report(key, first);
    const table = await Rows.open(own.database);
    await vi.waitFor(async () =>
      expect((await table.query('select from leak_reports where due_at > received_at')).length).toBe(1),
    );
    await first.close();
    clock.advance(60);
    await vi.waitFor(async () => expect(await meOf(key, own)).toBe('revoked_key'), { timeout: 10_000 });
    expect(await table.query('select from leak_reports')).toEqual([]);
    await table.close();
    await own.close();
  });

  test('a key that its owner has revoked or deleted meanwhile is left as it is', async () => {
    const { api } = await withDelay(60);
    const [revoked, deleted] = [await createKey(api, '/v1/api-keys'), await createKey(api, '/v1/api-keys')];
    for (const key of [revoked, deleted]) await report(key);
    await whenAllAreSeenTo();
    succeeded(await api.post(`${revoked.path}/revoke`));
    succeeded(await api.delete(deleted.path));
    clock.advance(60);
    await whenAllAreSeenTo();
    const own = (await eventsOf(revoked)).filter(({ type }) => type === 'api-key.revoked');
    expect(own.map(({ data }) => data)).toEqual([{}]);
    expect(await rows.query('select from leak_reports')).toEqual([]);
  });

  test('an account that has chosen another one since: none revokes at the next report', async () => {
    const { api } = await withDelay(3600);
    const key = await createKey(api, '/v1/api-keys');
    await report(key);
    await whenAllAreSeenTo();
    succeeded(await api.patch('/v1/account', { leak_revocation_delay_seconds: 0 }));
    await report(key);
    await whenAllAreSeenTo();
    await whenRefused(key);
    clock.advance(3600);
    await whenAllAreSeenTo();
    expect((await eventsOf(key)).filter(({ type }) => type === 'api-key.revoked').length).toBe(1);
    expect(await rows.query('select from leak_reports')).toEqual([]);
  });
});

describe('a publishable key', () => {
  test('lives on; its owner is told once a UTC day', async () => {
    const { api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey({ kind: 'publishable' });
    const { text } = await api.get(key.path);
    await atOnce(50, (index) => report(key, index % 2 === 0 ? server : second));
    await whenAllAreSeenTo();
    const told = { reported_url: url, action: 'told', revokes_at: null };
    const events = async () => (await eventsOf(key)).map(({ type, data }) => [type, data]);
    expect(await events()).toEqual([['api-key.leak_reported', told]]);
    expect((await api.get(key.path)).text).toBe(text);
    expect(await meOf(key)).toBe(200);
    clock.advance(
      (Date.parse(`${clock.now().toISOString().slice(0, 10)}T23:59:59.999Z`) - clock.nowMs()) / 1000,
    );
    await report(key);
    await whenAllAreSeenTo();
    expect((await events()).length).toBe(1);
    clock.advance(0.001);
    await report(key);
    await whenAllAreSeenTo();
    expect((await events()).length).toBe(2);
  });
});

// Attack: the key has expired when it is reported; its owner, who was told nothing, gives it another year.
test('a key that has expired is revoked like any other, and stays so', async () => {
  const { api } = await createCustomer(server);
  const key = await createKey(api, '/v1/api-keys', {
    expires_at: new Date(clock.nowMs() + 1000).toISOString(),
  });
  clock.advance(1);
  await report(key);
  await whenAllAreSeenTo();
  expect((await api.get(key.path)).body.data.status).toBe('revoked');
  expect((await api.patch(key.path, { expires_at: null })).status).toBe(409);
});

describe('nothing comes of', () => {
  test('keys that are dead, gone, or nobody’s', async () => {
    const { api } = await createCustomer(server);
    const revoked = await createKey(api, '/v1/api-keys');
    succeeded(await api.post(`${revoked.path}/revoke`));
    const deleted = await createKey(api, '/v1/api-keys');
    succeeded(await api.delete(deleted.path));
    const { result, events } = await rows.eventsOf(async () => {
      for (const each of [revoked, deleted, { secret: 'garbage' }, { secret: `${deleted.secret}x` }])
        await report(each);
      await whenAllAreSeenTo();
    });
    expect([result, events]).toEqual([undefined, []]);
    expect(await rows.query('select from leak_reports')).toEqual([]);
  });

  test('keys of an account or an issuer that is being deleted', async () => {
    const { id, api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const [ofAccount, ofIssuer] = [await createKey(api, '/v1/api-keys'), await issuer.createKey()];
    await rows.query('update issuers set deleting = true where id = $1', [issuer.id]);
    await report(ofIssuer);
    await whenAllAreSeenTo();
    expect(await eventsOf(ofIssuer)).toEqual([]);
    await rows.query("update accounts set status = 'deleting' where id = $1", [id]);
    await report(ofAccount);
    await whenAllAreSeenTo();
    expect(await eventsOf(ofAccount)).toEqual([]);
    expect(await rows.query('select from leak_reports')).toEqual([]);
  });
});

test('a report that fails is tried again, and keeps nobody else waiting', async () => {
  const { api } = await createCustomer(server);
  const keys: TestKey[] = [];
  for (let index = 0; index < 3; index++) keys.push(await createKey(api, '/v1/api-keys'));
  const [stuck, ...others] = keys as [TestKey, ...TestKey[]];
  await rows.query(`create function fail_once() returns trigger language plpgsql as
    $$ begin raise exception 'not now'; end $$`);
  await rows.query(
    `create trigger fail_once before update on api_keys for each row when (old.id = '${stuck.id}') execute function fail_once()`,
  );
  for (const key of keys) await report(key);
  await vi.waitFor(
    async () => {
      for (const key of others) expect(await meOf(key)).toBe('revoked_key');
    },
    { timeout: 10_000 },
  );
  expect(await meOf(stuck)).toBe(200);
  expect(await eventsOf(stuck)).toEqual([]);
  await rows.query('drop function fail_once() cascade');
  await whenAllAreSeenTo();
  await whenRefused(stuck);
  expect((await eventsOf(stuck)).length).toBe(2);
});
