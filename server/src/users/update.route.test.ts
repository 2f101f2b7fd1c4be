import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);

const full = {
  profile: { first_name: 'Ada', last_name: 'King', address: { city: 'London', zip: 'W1' } },
  metadata: { a: 1, b: { c: 2 } },
};
let made = 0;
async function create() {
  const user = await api.create(`${issuer.path}/users`, { username: `user-${++made}@example.com`, ...full });
  return { user, path: `${issuer.path}/users/${user.id}` };
}

describe('200', () => {
  test('a patch changes what it names and leaves its neighbours, at any depth', async () => {
    const { user, path } = await create();
    const patch = { profile: { last_name: 'Lovelace', address: { zip: null } }, metadata: { b: { d: 3 } } };
    const answer = await api.patch(path, patch);
    expect([answer.status, answer.body.data]).toEqual([
      200,
      {
        ...user,
        profile: { first_name: 'Ada', last_name: 'Lovelace', address: { city: 'London' } },
        metadata: { a: 1, b: { c: 2, d: 3 } },
        updated_at: expect.any(String),
      },
    ]);
    const read = await api.get(path);
    expect([read.body, read.headers.get('ETag')]).toEqual([answer.body, answer.headers.get('ETag')]);
    const emptied = await api.patch(path, { profile: null, metadata: null });
    expect(emptied.body.data).toMatchObject({ profile: {}, metadata: {} });
  });

  test('a username takes its normal form and frees the one before', async () => {
    const { user, path } = await create();
    const answer = await api.patch(path, { username: ' New.Name@EXAMPLE.com ' });
    expect(answer.body.data).toMatchObject({ id: user.id, username: 'New.Name@example.com' });
    const again = await api.create(`${issuer.path}/users`, { username: user.username });
    expect(again.id).not.toBe(user.id);
    expect((await api.patch(path, { username: 'new.name@example.com' })).body.data.username).toBe(
      'new.name@example.com',
    );
  });

  test('one that changes nothing is no change: same version, no event', async () => {
    const { user, path } = await create();
    const before = await api.get(path);
    for (const body of [{}, { username: ` ${user.username}` }, { metadata: { b: { c: 2 }, z: null } }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(path, body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('is one event with the names of what changed and no address', async () => {
    const { user, path } = await create();
    const { events } = await rows.eventsOf(() =>
      api.patch(path, { username: 'secret@example.com', metadata: { a: 2 } }),
    );
    expect(events).toMatchObject([
      {
        type: 'user.updated',
        subject_id: user.id,
        actor: { id: key.id },
        data: { changed: ['username', 'metadata'] },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain('@');
  });
});

describe('409', () => {
  test('username_taken, in any spelling', async () => {
    const [one, two] = [await create(), await create()];
    const answer = await api.patch(one.path, { username: two.user.username.toUpperCase() });
    expect([answer.status, answer.body.code]).toEqual([409, 'username_taken']);
  });
});

describe('412', () => {
  test('where somebody else was first', async () => {
    const { path } = await create();
    const tag = (await api.get(path)).headers.get('ETag')!;
    expect((await api.patch(path, { metadata: { a: 2 } }, { 'If-Match': tag })).status).toBe(200);
    expect((await api.patch(path, { metadata: { a: 3 } }, { 'If-Match': tag })).status).toBe(412);
  });
});

describe('422', () => {
  test.each([
    [{ username: null }, 'username'],
    [{ username: 'no address' }, 'username'],
    [{ username_type: 'phone' }, 'username_type'],
    [{ status: 'active' }, 'status'],
    [{ profile: { first_name: 7 } }, 'profile.first_name'],
    [{ metadata: 'x' }, 'metadata'],
  ])('%j names %s', async (body, field) => {
    const { path } = await create();
    const answer = await api.patch(path, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, field]);
  });
});
