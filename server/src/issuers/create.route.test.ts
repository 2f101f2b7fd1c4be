import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { presets } from '../key-profiles/presets.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const customer = await createCustomer(server);
const { api } = customer;
const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));

describe('201', () => {
  test('answers the issuer as it will be read, live and active with the standard key profile', async () => {
    const answer = await api.post('/v1/issuers', { name: 'Acme API' });
    expect(answer.status).toBe(201);
    const { data } = answer.body;
    expect(data).toEqual({
      id: expect.stringMatching(/^i_[0-9a-z]{25}$/),
      account_id: customer.id,
      name: 'Acme API',
      environment: 'live',
      status: 'active',
      publishable_scopes: [],
      plan: null,
      sandbox_issuer_id: null,
      sandbox_of: null,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: data.created_at,
    });
    expect(answer.headers.get('Location')).toBe(`/v1/issuers/${data.id}`);
    const read = await api.get(`/v1/issuers/${data.id}`);
    expect(read.body.data).toEqual(data);
    expect(read.headers.get('ETag')).toBe(answer.headers.get('ETag'));
    expect((await api.get(`/v1/issuers/${data.id}/key-profile`)).body.data).toEqual(presets.standard);
  });

  test('names need not be unique', async () => {
    const [one, other] = [
      await api.create('/v1/issuers', { name: 'same' }),
      await api.create('/v1/issuers', { name: 'same' }),
    ];
    expect(one.id).not.toBe(other.id);
  });

  test('takes an environment and the scopes that are safe in a browser', async () => {
    const issuer = await api.create('/v1/issuers', {
      name: 'x',
      environment: 'sandbox',
      publishable_scopes: ['posts:read', 'posts.public:list'],
    });
    expect(issuer).toMatchObject({
      environment: 'sandbox',
      publishable_scopes: ['posts:read', 'posts.public:list'],
    });
  });

  test('takes a plan of the account’s own, also for a sandbox issuer; null is none', async () => {
    await api.create('/v1/plans', { name: 'gold' });
    expect((await api.create('/v1/issuers', { name: 'x', plan: 'gold' })).plan).toBe('gold');
    expect((await sandbox.create('/v1/issuers', { name: 'x', plan: 'gold' })).plan).toBe('gold');
    expect((await api.create('/v1/issuers', { name: 'x', plan: null })).plan).toBeNull();
  });

  test('a sandbox key makes sandbox issuers unless it says otherwise', async () => {
    expect((await sandbox.create('/v1/issuers', { name: 'x' })).environment).toBe('sandbox');
  });

  test('is one event: its key profile makes none', async () => {
    const { result: answer, events } = await rows.eventsOf(() => api.post('/v1/issuers', { name: 'told' }));
    expect(events).toMatchObject([
      {
        type: 'issuer.created',
        account_id: customer.id,
        issuer_id: answer.body.data.id,
        subject_type: 'issuer',
        subject_id: answer.body.data.id,
        environment: 'live',
        actor: { type: 'api_key', id: customer.key.id },
        request_id: answer.headers.get('X-Request-Id'),
        data: { name: 'told' },
      },
    ]);
  });
});

describe('403', () => {
  test('a sandbox key makes no live issuer', async () => {
    const before = await rows.snapshot();
    const answer = await sandbox.post('/v1/issuers', { name: 'x', environment: 'live' });
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
    expect(answer.headers.get('X-Environment')).toBe('SANDBOX');
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('422', () => {
  test.each([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'a\u0000b' }, 'name'],
    [{ name: '\ud800' }, 'name'],
    // The attack: a name that turns around what stands beside it on a page or in a mail.
    [{ name: 'a\u202eb' }, 'name'],
    [{ name: 'a\nb' }, 'name'],
    [{ name: 'x', environment: 'production' }, 'environment'],
    [{ name: 'x', publishable_scopes: 'posts:read' }, 'publishable_scopes'],
    [{ name: 'x', publishable_scopes: ['posts'] }, 'publishable_scopes[0]'],
    // The attack: to have a permission of Gatelodge called safe in a browser.
    [{ name: 'x', publishable_scopes: ['posts:read', 'gatelodge.api-keys:write'] }, 'publishable_scopes[1]'],
    [{ name: 'x', publishable_scopes: ['KEYS:VERIFY'] }, 'publishable_scopes[0]'],
    [{ name: 'x', publishable_scopes: Array(101).fill('a:b') }, 'publishable_scopes'],
    [{ name: 'x', account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ name: 'x', id: 'i_0000000000000000000000000' }, 'id'],
    [{ name: 'x', status: 'active' }, 'status'],
    [{ name: 'x', twin_of: null }, 'twin_of'],
    // The operator’s plans are for accounts; an issuer is on one of its account’s own.
    [{ name: 'x', plan: 'unlimited' }, 'plan'],
    [{ name: 'x', plan: 'default' }, 'plan'],
    [{ name: 'x', plan: '' }, 'plan'],
    [{ name: 'x', plan: 'x'.repeat(65) }, 'plan'],
    [{ name: 'x', plan: 7 }, 'plan'],
  ])('%j is refused at %s and changes nothing', async (body, path) => {
    const before = await rows.snapshot();
    const answer = await api.post('/v1/issuers', body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
    expect(await rows.snapshot()).toEqual(before);
  });
});
