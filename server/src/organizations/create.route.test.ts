import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
await api.create('/v1/plans', { name: 'gold' });
const path = `/v1/issuers/${issuer.id}/organizations`;

describe('201', () => {
  test('answers the organization as it will be read', async () => {
    const members = {
      name: 'Tenant',
      external_id: 'tenant_abc123',
      plan: 'gold',
      metadata: { crm: { id: 7, tags: ['a', null] } },
    };
    const answer = await api.post(path, members);
    expect(answer.status).toBe(201);
    const { data } = answer.body;
    expect(data).toEqual({
      ...members,
      id: expect.stringMatching(/^org_[0-9a-z]{25}$/),
      issuer_id: issuer.id,
      status: 'active',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updated_at: data.created_at,
    });
    expect(answer.headers.get('Location')).toBe(`${path}/${data.id}`);
    const read = await api.get(`${path}/${data.id}`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([data, answer.headers.get('ETag')]);
  });

  test('needs a name alone; what is null is as good as left out', async () => {
    const bare = { external_id: null, plan: null, metadata: {}, status: 'active' };
    expect(await api.create(path, { name: 'x' })).toMatchObject(bare);
    expect(await api.create(path, { name: 'x', external_id: null, plan: null })).toMatchObject(bare);
  });

  test('a key of the issuer makes them too', async () => {
    const own = await withScopes(api, ['gatelodge.organizations:write'], `/v1/issuers/${issuer.id}/api-keys`);
    expect((await own.post(path, { name: 'x' })).status).toBe(201);
  });

  test('is one event', async () => {
    const { result, events } = await rows.eventsOf(() =>
      api.create(path, { name: 'told', external_id: 'told' }),
    );
    expect(events).toMatchObject([
      {
        type: 'organization.created',
        issuer_id: issuer.id,
        organization_id: result.id,
        subject_type: 'organization',
        subject_id: result.id,
        environment: 'live',
        actor: { type: 'api_key', id: key.id },
        data: { name: 'told', external_id: 'told' },
      },
    ]);
  });

  test.each(['a', 'tenant_abc123', 'A.b_c:d@e/f-g', '0'.repeat(128), 'acme@example.com', 'urn:x:1', 'ORG_1'])(
    'takes the external id %s',
    async (external_id) => {
      const { id } = await api.create('/v1/issuers', { name: 'x' });
      expect(await api.create(`/v1/issuers/${id}/organizations`, { name: 'x', external_id })).toMatchObject({
        external_id,
      });
    },
  );

  test('two issuers may use one external id, each for a tenant of its own', async () => {
    const other = await api.create('/v1/issuers', { name: 'other' });
    const members = { name: 'x', external_id: 'in-both' };
    const one = await api.create(path, members);
    const two = await api.create(`/v1/issuers/${other.id}/organizations`, members);
    expect(one.id).not.toBe(two.id);
  });
});

test('a plan that is not there is told with what to do about it', async () => {
  const answer = await api.post(path, { name: 'x', plan: 'nothing' });
  expect(answer.body.errors).toEqual([
    {
      path: 'plan',
      message:
        'is not the name of a plan; make it by POST /v1/plans first, name one that is there, or give null for none',
      code: 'unknown_plan',
    },
  ]);
});

describe('409', () => {
  test('for an external id that another organization of the issuer has', async () => {
    await api.create(path, { name: 'x', external_id: 'taken' });
    const before = await rows.snapshot();
    const answer = await api.post(path, { name: 'y', external_id: 'taken' });
    expect([answer.status, answer.body.code]).toEqual([409, 'external_id_taken']);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('of 50 at once with one external id exactly one is made', async () => {
    for (let round = 0; round < scaled(1, 20); round++) {
      const external_id = `raced-${round}`;
      const { result: answers, events } = await rows.eventsOf(() =>
        atOnce(50, () => api.post(path, { name: 'x', external_id })),
      );
      expect(answers.filter(({ status }) => status === 201).length).toBe(1);
      expect(answers.filter(({ body }) => body.code === 'external_id_taken').length).toBe(49);
      expect(events.length).toBe(1);
      expect((await api.get(`${path}?external_id=${external_id}`)).body.data.length).toBe(1);
    }
  });
});

describe('422', () => {
  test.each([
    [{}, 'name'],
    [{ name: '\t' }, 'name'],
    // The attack: a name that looks like another's, or like a line of our own, where users choose an organization.
    [{ name: 'a\nb' }, 'name'],
    [{ name: 'a\u202eb' }, 'name'],
    [{ name: 'a\u2066b' }, 'name'],
    [{ name: 'a\u200fb' }, 'name'],
    [{ name: 'a\u2028b' }, 'name'],
    [{ name: 'a\u0085b' }, 'name'],
    // The attack: an external id that is taken for one of our ids, and so for another tenant.
    [{ name: 'x', external_id: 'org_0000000000000000000000000' }, 'external_id'],
    [{ name: 'x', external_id: 'org_' }, 'external_id'],
    [{ name: 'x', external_id: '' }, 'external_id'],
    [{ name: 'x', external_id: 'a b' }, 'external_id'],
    [{ name: 'x', external_id: ' a' }, 'external_id'],
    [{ name: 'x', external_id: 'a\n' }, 'external_id'],
    [{ name: 'x', external_id: 'a\r\nX-Evil: 1' }, 'external_id'],
    [{ name: 'x', external_id: 'ténant' }, 'external_id'],
    [{ name: 'x', external_id: 'x'.repeat(129) }, 'external_id'],
    [{ name: 'x', external_id: 7 }, 'external_id'],
    [{ name: 'x', plan: '' }, 'plan'],
    [{ name: 'x', plan: 'a b' }, 'plan'],
    // A plan of the operator’s is none of the account’s.
    [{ name: 'x', plan: 'default' }, 'plan'],
    [{ name: 'x', plan: 'nothing' }, 'plan'],
    [{ name: 'x', metadata: [] }, 'metadata'],
    [{ name: 'x', metadata: null }, 'metadata'],
    [{ name: 'x', metadata: { a: '\u0000' } }, 'metadata'],
    [{ name: 'x', issuer_id: 'i_0000000000000000000000000' }, 'issuer_id'],
    [{ name: 'x', account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ name: 'x', id: 'org_0000000000000000000000000' }, 'id'],
    [{ name: 'x', status: 'suspended' }, 'status'],
  ])('%j is refused at %s and changes nothing', async (body, at) => {
    const before = await rows.snapshot();
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(at);
    expect(await rows.snapshot()).toEqual(before);
  });
});
