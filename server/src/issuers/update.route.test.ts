import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);

await api.create('/v1/plans', { name: 'gold' });
await api.create('/v1/plans', { name: 'silver' });

const create = (members: Record<string, unknown> = {}) =>
  api.create('/v1/issuers', { name: 'before', publishable_scopes: ['posts:read'], ...members });

describe('200', () => {
  test('a change of one member leaves its neighbour as it was', async () => {
    const issuer = await create();
    const renamed = await api.patch(`/v1/issuers/${issuer.id}`, { name: 'after' });
    expect(renamed.body.data).toEqual({
      ...issuer,
      name: 'after',
      updated_at: expect.any(String),
    });
    const rescoped = await api.patch(`/v1/issuers/${issuer.id}`, { publishable_scopes: [] });
    expect(rescoped.body.data).toMatchObject({ name: 'after', publishable_scopes: [] });
    const planned = await api.patch(`/v1/issuers/${issuer.id}`, { plan: 'gold' });
    expect(planned.body.data).toMatchObject({ name: 'after', publishable_scopes: [], plan: 'gold' });
    const read = await api.get(`/v1/issuers/${issuer.id}`);
    expect(read.body.data).toEqual(planned.body.data);
    expect(read.headers.get('ETag')).toBe(planned.headers.get('ETag'));
    const again = await api.patch(`/v1/issuers/${issuer.id}`, { name: 'again' });
    expect(again.body.data.plan).toBe('gold');
    expect((await api.patch(`/v1/issuers/${issuer.id}`, { plan: null })).body.data.plan).toBeNull();
  });

  test('is one event with the names of what changed', async () => {
    const { id } = await create();
    // What it names and leaves as it was is no change.
    const patch = { publishable_scopes: ['posts:read'], plan: null, name: 'x' };
    const { events } = await rows.eventsOf(() => api.patch(`/v1/issuers/${id}`, patch));
    expect(events).toMatchObject([
      {
        type: 'issuer.updated',
        issuer_id: id,
        subject_id: id,
        actor: { id: key.id },
        data: { changed: ['name'] },
      },
    ]);
  });

  test('a name that a node of an older build has let in keeps nobody from changing the rest', async () => {
    const { id } = await create();
    const name = 'a\u202eb\nc';
    await rows.query('update issuers set name = $2 where id = $1', [id, name]);
    for (const patch of [{ plan: 'silver' }, { name, publishable_scopes: [] }])
      expect(succeeded(await api.patch(`/v1/issuers/${id}`, patch)).body.data.name).toBe(name);
    expect((await api.patch(`/v1/issuers/${id}`, { name: `${name}!` })).status).toBe(422);
  });

  // Attack: a patch without effect, repeated, that makes every node forget the issuer and floods its trail.
  test('one that changes nothing is no change: same version, no event', async () => {
    const { id } = await create();
    const before = await api.get(`/v1/issuers/${id}`);
    for (const body of [{}, { name: 'before' }, { publishable_scopes: ['posts:read'] }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(`/v1/issuers/${id}`, body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('a scope no longer marked publishable is of no use to a key by the very next request', async () => {
    const { id } = await create();
    const page = await createKey(api, `/v1/issuers/${id}/api-keys`, {
      kind: 'publishable',
      restrictions: { scopes: ['posts:read'] },
    });
    const asked = async () => (await api.post('/v1/keys/verify', { key: page.secret })).body.scopes;
    expect(await asked()).toEqual(['posts:read']);
    succeeded(await api.patch(`/v1/issuers/${id}`, { publishable_scopes: [] }));
    expect(await asked()).toEqual([]);
  });
});

describe('the plan', () => {
  test('of a sandbox twin is its own: none to begin with, whatever the live issuer is on', async () => {
    const { id } = await create({ plan: 'gold' });
    const twin = await api.create(`/v1/issuers/${id}/sandbox-issuer`);
    expect(twin.plan).toBeNull();
    expect((await api.patch(`/v1/issuers/${twin.id}`, { plan: 'silver' })).body.data.plan).toBe('silver');
    expect((await api.get(`/v1/issuers/${id}`)).body.data.plan).toBe('gold');
  });

  // Attack: a key that an issuer’s plan limits takes the issuer off the plan, or puts it on a bigger one.
  test('403: is not set by a key of the issuer itself, which may change all else', async () => {
    const { id } = await create({ plan: 'gold' });
    const path = `/v1/issuers/${id}`;
    const own = await withScopes(api, ['gatelodge.issuers:write'], `${path}/api-keys`);
    const before = await rows.snapshot();
    for (const plan of [null, 'silver']) {
      const answer = await own.patch(path, { name: 'lifted', plan });
      expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    }
    expect(await rows.snapshot()).toEqual(before);
    const renamed = await own.patch(path, { name: 'renamed', plan: 'gold' });
    expect(renamed.body.data).toMatchObject({ name: 'renamed', plan: 'gold' });
  });

  test('that a node of an older build has named, and nobody has made, keeps nobody from changing the rest', async () => {
    const { id } = await create();
    await rows.query(`update issuers set plan = 'a name of old' where id = $1`, [id]);
    const answer = await api.patch(`/v1/issuers/${id}`, { name: 'after' });
    expect(answer.body.data).toMatchObject({ name: 'after', plan: 'a name of old' });
  });
});

describe('412', () => {
  test('of 50 changes at once that name the same version exactly one is made', async () => {
    const { id } = await create();
    const etag = (await api.get(`/v1/issuers/${id}`)).headers.get('ETag')!;
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) => api.patch(`/v1/issuers/${id}`, { name: `name ${index}` }, { 'If-Match': etag })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(49);
    expect((await api.get(`/v1/issuers/${id}`)).body.data).toEqual(won[0]!.body.data);
    expect(events.length).toBe(1);
  });

  test('without a version 50 changes at once are all made, one after the other', async () => {
    const { id } = await create();
    const answers = await atOnce(50, (index) => api.patch(`/v1/issuers/${id}`, { name: `name ${index}` }));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ headers }) => headers.get('ETag'))).size).toBe(50);
  });
});

describe('422', () => {
  test.each([
    [{ name: null }, 'name'],
    [{ name: ' ' }, 'name'],
    [{ name: 'a\u2066b' }, 'name'],
    [{ name: 'a\nb' }, 'name'],
    [{ publishable_scopes: null }, 'publishable_scopes'],
    [{ publishable_scopes: ['x'] }, 'publishable_scopes[0]'],
    [{ publishable_scopes: ['gatelodge.events:read'] }, 'publishable_scopes[0]'],
    [{ plan: 'unlimited' }, 'plan'],
    [{ plan: 'nothing' }, 'plan'],
    [{ plan: 'a b' }, 'plan'],
    [{ environment: 'sandbox' }, 'environment'],
    [{ status: 'suspended' }, 'status'],
    [{ account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ sandbox_of: null }, 'sandbox_of'],
    [{ name: 'fine', surprise: null }, 'surprise'],
  ])('%j is refused at %s and changes nothing', async (body, path) => {
    const { id } = await create();
    const before = await rows.snapshot();
    const answer = await api.patch(`/v1/issuers/${id}`, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path]);
    expect(await rows.snapshot()).toEqual(before);
  });
});
