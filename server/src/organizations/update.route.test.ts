import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const collection = `${issuer.path}/organizations`;

await api.create('/v1/plans', { name: 'gold' });
await api.create('/v1/plans', { name: 'silver' });

const full = { name: 'before', plan: 'gold', metadata: { a: 1, b: { c: 2, d: 3 }, list: [1, 2] } };
let made = 0;
async function create(members: Record<string, unknown> = {}) {
  const organization = await api.create(collection, { ...full, external_id: `tenant_${++made}`, ...members });
  return { organization, path: `${collection}/${organization.id}` };
}

describe('200', () => {
  test.each([
    [{ name: 'after' }],
    [{ external_id: 'renamed' }],
    [{ plan: 'silver' }],
    [{ metadata: { a: 2 } }],
  ])('%j changes nothing but what it names', async (patch) => {
    const { organization, path } = await create();
    const answer = await api.patch(path, patch);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      ...organization,
      ...patch,
      ...('metadata' in patch && { metadata: { ...full.metadata, a: 2 } }),
      updated_at: expect.any(String),
    });
    const read = await api.get(path);
    expect([read.body, read.headers.get('ETag')]).toEqual([answer.body, answer.headers.get('ETag')]);
  });

  test('null removes a member, at any depth of the metadata', async () => {
    const { path } = await create();
    const answer = await api.patch(path, {
      external_id: null,
      plan: null,
      metadata: { a: null, b: { c: null, e: 4 }, list: [3], absent: null },
    });
    expect(answer.body.data).toMatchObject({ name: 'before', external_id: null, plan: null });
    expect(answer.body.data.metadata).toEqual({ b: { d: 3, e: 4 }, list: [3] });
    expect((await api.patch(path, { metadata: null })).body.data.metadata).toEqual({});
  });

  // Attack: a patch without effect, repeated, that makes every node forget the tenant and floods the trail.
  test('one that changes nothing is no change: same version, no event', async () => {
    const { path } = await create();
    const before = await api.get(path);
    for (const body of [{}, { name: 'before', plan: 'gold' }, { metadata: { b: { d: 3 }, z: null } }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(path, body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('is one event with the names of what changed', async () => {
    const { organization, path } = await create();
    // What it names and leaves as it was is no change.
    const patch = { name: 'x', plan: null, external_id: organization.external_id, metadata: { a: 1 } };
    const { events } = await rows.eventsOf(() => api.patch(path, patch));
    expect(events).toMatchObject([
      {
        type: 'organization.updated',
        organization_id: organization.id,
        subject_id: organization.id,
        actor: { id: key.id },
        data: { changed: ['name', 'plan'] },
      },
    ]);
  });

  test('a plan that a node of an older build has named keeps nobody from changing the rest', async () => {
    const { organization, path } = await create();
    await rows.query(`update organizations set plan = 'a name of old' where id = $1`, [organization.id]);
    const answer = await api.patch(path, { name: 'after' });
    expect(answer.body.data).toMatchObject({ name: 'after', plan: 'a name of old' });
  });

  test('a name that a node of an older build has let in keeps nobody from changing the rest', async () => {
    const { organization, path } = await create();
    const name = 'Acme\u202egnp\nBank';
    await rows.query('update organizations set name = $2 where id = $1', [organization.id, name]);
    for (const patch of [{ plan: 'silver' }, { name, metadata: { a: 3 } }])
      expect(succeeded(await api.patch(path, patch)).body.data.name).toBe(name);
    expect((await api.patch(path, { name: `${name}!` })).status).toBe(422);
    expect(succeeded(await api.patch(path, { name: 'Acme' })).body.data.name).toBe('Acme');
  });

  test('an external id given to another organization names that one by the very next request', async () => {
    // The attack: a name that a node still takes for the tenant that had it before.
    const { secret } = await issuer.createKey();
    const [one, two] = [await create({ external_id: 'moving' }), await create()];
    const verified = async () =>
      (await api.post('/v1/keys/verify', { key: secret, tenant: 'moving' })).body.organization?.id ?? null;
    expect(await verified()).toBe(one.organization.id);
    succeeded(await api.patch(one.path, { external_id: null }));
    expect(await verified()).toBeNull();
    succeeded(await api.patch(two.path, { external_id: 'moving' }));
    expect(await verified()).toBe(two.organization.id);
  });
});

describe('409', () => {
  test('for an external id that another organization of the issuer has', async () => {
    const [one, two] = [await create(), await create()];
    const before = await rows.snapshot();
    const answer = await api.patch(two.path, { name: 'x', external_id: one.organization.external_id });
    expect([answer.status, answer.body.code]).toEqual([409, 'external_id_taken']);
    expect(await rows.snapshot()).toEqual(before);
    const own = await api.patch(one.path, { external_id: one.organization.external_id });
    expect(own.status).toBe(200);
  });

  test('of 20 at once that take one external id exactly one gets it', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => create()));
    const answers = await Promise.all(all.map(({ path }) => api.patch(path, { external_id: 'raced' })));
    expect(answers.filter(({ status }) => status === 200).length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'external_id_taken').length).toBe(19);
  });
});

describe('412', () => {
  test('of 50 changes at once that name the same version exactly one is made', async () => {
    const { path } = await create();
    const etag = (await api.get(path)).headers.get('ETag')!;
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) => api.patch(path, { metadata: { [`m${index}`]: index } }, { 'If-Match': etag })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(49);
    expect((await api.get(path)).body.data).toEqual(won[0]!.body.data);
    expect(events.length).toBe(1);
  });

  test('without a version 40 changes at once of different members are all there in the end', async () => {
    const { path } = await create({ metadata: {} });
    await atOnce(40, (index) => api.patch(path, { metadata: { [`m${index}`]: index } }));
    expect(Object.keys((await api.get(path)).body.data.metadata).length).toBe(40);
  });
});

describe('422', () => {
  test.each([
    [{ name: null }, 'name'],
    [{ name: 'Acme\u202egnp' }, 'name'],
    [{ name: 'Acme\nBank' }, 'name'],
    [{ external_id: 'org_1' }, 'external_id'],
    [{ external_id: '' }, 'external_id'],
    [{ metadata: [] }, 'metadata'],
    [{ metadata: { a: '\u0000' } }, 'metadata'],
    [{ metadata: Object.fromEntries(Array.from({ length: 48 }, (_, n) => [`m${n}`, n])) }, 'metadata'],
    [{ metadata: { big: 'x'.repeat(8192) } }, 'metadata'],
    [{ plan: 'nothing' }, 'plan'],
    [{ plan: 'default' }, 'plan'],
    [{ plan: '' }, 'plan'],
    [{ status: 'active' }, 'status'],
    [{ issuer_id: 'i_0000000000000000000000000' }, 'issuer_id'],
    [{ name: 'fine', surprise: null }, 'surprise'],
  ])('%j is refused at %s and changes nothing', async (body, at) => {
    const { path } = await create();
    const before = await rows.snapshot();
    const answer = await api.patch(path, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, at]);
    expect(await rows.snapshot()).toEqual(before);
  });
});
