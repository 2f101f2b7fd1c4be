import { afterAll, describe, expect, test } from 'vitest';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';

const server = await startTestServer({ clock: new TestClock() });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = server.operator;
const acme = { name: 'Acme', owner_email: 'owner@acme.test' };

describe('201', () => {
  test('answers the account and its first key, whose secret no other answer shows', async () => {
    const answer = await api.post('/v1/accounts', acme);
    expect(answer.status).toBe(201);
    const { api_key, ...account } = answer.body.data;
    expect(account).toEqual({
      id: expect.stringMatching(/^acc_[0-9a-z]{25}$/),
      name: 'Acme',
      plan: 'default',
      status: 'active',
      operator: false,
      deletion: null,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: account.created_at,
    });
    expect(api_key).toEqual({ id: expect.any(String), secret_plain: expect.stringMatching(/^gl_live_sk_/) });
    expect(answer.headers.get('Location')).toBe(`/v1/accounts/${account.id}`);

    const read = await api.get(`/v1/accounts/${account.id}`);
    expect(read.body.data).toEqual(account);
    expect(read.headers.get('ETag')).toBe(answer.headers.get('ETag'));
    const customer = api.as({ id: api_key.id, secret: api_key.secret_plain });
    const paths = ['/v1/account', '/v1/api-keys', `/v1/api-keys/${api_key.id}`, '/v1/events', '/v1/me'];
    const others = [
      ...(await Promise.all(paths.map((path) => customer.get(path)))),
      await api.get('/v1/accounts'),
      await api.get('/v1/events'),
    ];
    for (const { status, text } of others) {
      expect(status).toBe(200);
      expect(text).not.toContain(api_key.secret_plain);
    }
    expect(server.logLines.join('\n')).not.toContain(api_key.secret_plain);
  });

  test('the first key holds every permission of its account and none of the operator', async () => {
    const { id, api_key } = await api.create('/v1/accounts', acme);
    const customer = api.as({ id: api_key.id, secret: api_key.secret_plain });
    expect((await customer.get(`/v1/api-keys/${api_key.id}`)).body.data).toMatchObject({
      account_id: id,
      environment: 'live',
      kind: 'secret',
      restrictions: { scopes: null },
      expires_at: null,
      created_by: { type: 'api_key', id: server.operator.key.id },
    });
    expect((await customer.post('/v1/issuers', { name: 'x' })).status).toBe(201);
    expect((await customer.get('/v1/accounts')).status).toBe(403);
  });

  test('names its owner to the account alone', async () => {
    const { api_key } = await api.create('/v1/accounts', acme);
    const customer = api.as({ id: api_key.id, secret: api_key.secret_plain });
    expect((await customer.get('/v1/account')).body.data.members).toEqual([
      { email: 'owner@acme.test', role: 'owner' },
    ]);
    expect((await api.get('/v1/accounts')).text).not.toContain('owner@acme.test');
  });

  test.each(['default', 'unlimited', null])('has the plan %s when it is asked for', async (plan) => {
    expect((await api.create('/v1/accounts', { ...acme, plan })).plan).toBe(plan);
  });

  test('may be on any plan of the operator’s', async () => {
    await api.create('/v1/plans', { name: 'gold', included: { live: 5 } });
    const { plan, api_key } = await api.create('/v1/accounts', { ...acme, plan: 'gold' });
    const customer = api.as({ id: api_key.id, secret: api_key.secret_plain });
    const own = (await customer.get('/v1/account')).body.data;
    expect([plan, own.plan, own.included]).toEqual(['gold', 'gold', { live: 5, sandbox: null }]);
  });

  test('two accounts may have one name and one owner, and are two', async () => {
    const [one, other] = [await api.create('/v1/accounts', acme), await api.create('/v1/accounts', acme)];
    expect(one.id).not.toBe(other.id);
    expect(one.api_key.secret_plain).not.toBe(other.api_key.secret_plain);
  });

  test('is told in both trails, in the customer’s without the operator’s key and address', async () => {
    const { result: account, events } = await rows.eventsOf(() => api.create('/v1/accounts', acme));
    const common = { type: 'account.created', subject_type: 'account', subject_id: account.id };
    expect(events).toHaveLength(2);
    expect(events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          ...common,
          account_id: account.id,
          actor: { type: 'system', id: 'operator', ip: null, user_agent: null },
        }),
        expect.objectContaining({
          ...common,
          account_id: server.operator.accountId,
          actor: expect.objectContaining({ type: 'api_key', id: server.operator.key.id }),
        }),
      ]),
    );
    expect(JSON.stringify(events)).not.toContain('owner@acme.test');
    expect(JSON.stringify(events)).not.toContain(account.api_key.secret_plain);
  });
});

describe('422', () => {
  test.each([
    [{ owner_email: 'x@acme.test' }, 'name', 'required'],
    [{ name: 'x' }, 'owner_email', 'required'],
    [{ ...acme, name: ' ' }, 'name', 'invalid'],
    [{ ...acme, owner_email: 'acme.test' }, 'owner_email', 'invalid_format'],
    [{ ...acme, owner_email: 'a@b@c' }, 'owner_email', 'invalid_format'],
    [{ ...acme, owner_email: `${'x'.repeat(250)}@acme.test` }, 'owner_email', 'too_big'],
    [{ ...acme, owner_email: 'x@acme.test\r\nBcc: y@evil.test' }, 'owner_email', 'invalid_format'],
    [{ ...acme, plan: 'free' }, 'plan', 'unknown_plan'],
    [{ ...acme, plan: 'Default' }, 'plan', 'unknown_plan'],
    [{ ...acme, plan: '' }, 'plan', 'invalid_format'],
    [{ ...acme, plan: 'a b' }, 'plan', 'invalid_format'],
    // The attack: to be made the operator, or to choose one's own id, by a member that nobody looks at.
    [{ ...acme, operator: true }, 'operator', 'unknown_member'],
    [{ ...acme, is_operator: true }, 'is_operator', 'unknown_member'],
    [{ ...acme, id: 'acc_0000000000000000000000000' }, 'id', 'unknown_member'],
    [{ ...acme, status: 'active' }, 'status', 'unknown_member'],
  ])('%j is refused at %s and changes nothing', async (body, path, code) => {
    const before = await rows.snapshot();
    const answer = await api.post('/v1/accounts', body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ path, code }));
    expect(await rows.snapshot()).toEqual(before);
  });
});
