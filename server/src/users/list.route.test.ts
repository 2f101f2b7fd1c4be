import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'x' });
const other = await api.create('/v1/issuers', { name: 'other' });
const path = `/v1/issuers/${issuer.id}/users`;

const alice = await api.create(path, {
  username: 'alice@example.com',
  profile: { first_name: 'Älice', last_name: '100% Archer' },
});
const bob = await api.create(path, { username_type: 'unique-name', username: 'Bob' });
const carol = await api.create(path, { username_type: 'phone', username: '+49301234567' });
await api.create(`/v1/issuers/${other.id}/users`, { username: 'alice@example.com' });
succeeded(await api.post(`${path}/${bob.id}/suspend`));

const listed = async (query: string) =>
  succeeded(await api.get(`${path}?${query}`)).body.data.map(({ id }: { id: string }) => id);

describe('200', () => {
  test('lists the users of the issuer and of no other, each as it is read', async () => {
    expect(await listed('')).toEqual([carol.id, bob.id, alice.id]);
    expect((await api.get(path)).body.data.at(-1)).toEqual((await api.get(`${path}/${alice.id}`)).body.data);
  });

  test.each([
    ['created_at', () => [alice.id, bob.id, carol.id]],
    ['username', () => [carol.id, bob.id, alice.id]],
    ['-username', () => [alice.id, bob.id, carol.id]],
  ])('in the order of %s, page by page as at once', async (sort, expected) => {
    expect(await listed(`sort=${sort}`)).toEqual(expected());
    const seen: string[] = [];
    let cursor = '';
    do {
      const { body } = await api.get(`${path}?limit=1&sort=${sort}${cursor}`);
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
    } while (cursor !== '' && seen.length < 10);
    expect(seen).toEqual(expected());
  });

  test('filters by status, type, username in any spelling, and a part of username or name', async () => {
    expect(await listed('status=suspended')).toEqual([bob.id]);
    expect(await listed('status=active')).toEqual([carol.id, alice.id]);
    expect(await listed('username_type=phone')).toEqual([carol.id]);
    expect(await listed('username=Alice%40EXAMPLE.com')).toEqual([alice.id]);
    expect(await listed('username=bOB')).toEqual([bob.id]);
    expect(await listed('username=bob&username_type=email')).toEqual([]);
    expect(await listed('username=0049%2030%201234567')).toEqual([carol.id]);
    expect(await listed('username=alice')).toEqual([]);
    expect(await listed('username=%25')).toEqual([]);
    expect(await listed('search=ALICE')).toEqual([alice.id]);
    expect(await listed('search=%C3%A4LICE')).toEqual([alice.id]);
    expect(await listed('search=100%25%20a')).toEqual([alice.id]);
    expect(await listed('search=_')).toEqual([]);
    expect(await listed('search=o&status=suspended')).toEqual([bob.id]);
  });
});

describe('422', () => {
  test.each(['status=gone', 'username=', 'username_type=x', 'sort=name', `search=${'x'.repeat(201)}`])(
    'for the filter %s',
    async (query) => {
      expect((await api.get(`${path}?${query}`)).status).toBe(422);
    },
  );
});
