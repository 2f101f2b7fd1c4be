import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
const issuerPath = `/v1/issuers/${issuer.id}`;
const organizations = `${issuerPath}/organizations`;
const organization = await api.create(organizations, { name: 'Tenant', external_id: 'tenant' });
const path = `${organizations}/${organization.id}/members`;
const groups = `${organizations}/${organization.id}/groups`;
const sales = await api.create(groups, { name: 'Sales', scopes: ['leads:read'] });
const admins = await api.create(groups, { name: 'admins', scopes: ['all:write'] });
const other = await api.create(organizations, { name: 'Another' });

// As members in another order than as users.
const [alice, bob, carol] = [
  await api.create(`${issuerPath}/users`, {
    username: 'alice@example.com',
    profile: { first_name: 'Älice', last_name: '100% Archer' },
  }),
  await api.create(`${issuerPath}/users`, { username_type: 'unique-name', username: 'Bob' }),
  await api.create(`${issuerPath}/users`, { username_type: 'phone', username: '+49301234567' }),
];
await api.create(path, { member_id: bob.id, scopes: ['a:b'], groups: [sales.id, admins.id] });
await api.create(path, { member_id: carol.id, groups: [sales.id] });
await api.create(path, { member_id: alice.id, scopes: ['c:d'] });
await api.create(`${organizations}/${other.id}/members`, { member_id: alice.id, scopes: ['x:y'] });

const listed = async (query: string, at = path) =>
  succeeded(await api.get(`${at}?${query}`)).body.data.map(
    ({ member_id }: { member_id: string }) => member_id,
  );

async function paged(at: string, query: string, name: string): Promise<string[]> {
  const seen: string[] = [];
  let cursor = '';
  do {
    const { body } = succeeded(await api.get(`${at}?limit=1&${query}${cursor}`));
    seen.push(...body.data.map((item: Record<string, string>) => item[name]));
    cursor = body.next_cursor === null ? '' : `&cursor=${body.next_cursor}`;
  } while (cursor !== '' && seen.length < 10);
  return seen;
}

describe('the members of an organization', () => {
  test('newest first, each as it is read, and of no other organization', async () => {
    expect(await listed('')).toEqual([alice.id, carol.id, bob.id]);
    const { data } = (await api.get(path)).body;
    for (const member of data)
      expect((await api.get(`${path}/${member.member_id}`)).body.data).toEqual({
        ...member,
        effective_scopes: expect.any(Array),
      });
    expect(data.at(-1).groups).toEqual([
      { id: sales.id, name: 'Sales' },
      { id: admins.id, name: 'admins' },
    ]);
  });

  test.each([
    ['created_at', () => [bob.id, carol.id, alice.id]],
    ['-created_at', () => [alice.id, carol.id, bob.id]],
    ['username', () => [carol.id, bob.id, alice.id]],
    ['-username', () => [alice.id, bob.id, carol.id]],
  ])('in the order of %s, page by page as at once', async (sort, expected) => {
    expect(await listed(`sort=${sort}`)).toEqual(expected());
    expect(await paged(path, `sort=${sort}`, 'member_id')).toEqual(expected());
  });

  test('by group and by a part of username or name, also both at once', async () => {
    expect(await listed(`group=${sales.id}`)).toEqual([carol.id, bob.id]);
    expect(await listed(`group=${admins.id}`)).toEqual([bob.id]);
    expect(await listed(`group=grp_0000000000000000000000000`)).toEqual([]);
    expect(await listed('search=ALICE')).toEqual([alice.id]);
    expect(await listed('search=%C3%A4LICE')).toEqual([alice.id]);
    expect(await listed('search=100%25%20a')).toEqual([alice.id]);
    expect(await listed('search=_')).toEqual([]);
    expect(await listed(`search=b&group=${admins.id}`)).toEqual([bob.id]);
    expect(await listed(`search=alice&group=${sales.id}`)).toEqual([]);
  });

  test('of a group by its own path', async () => {
    expect(await listed('', `${groups}/${sales.id}/members`)).toEqual([carol.id, bob.id]);
    expect(await paged(`${groups}/${sales.id}/members`, 'sort=username', 'member_id')).toEqual([
      carol.id,
      bob.id,
    ]);
    expect(await listed('search=bob', `${groups}/${sales.id}/members`)).toEqual([bob.id]);
    expect((await api.get(`${organizations}/${other.id}/groups/${sales.id}/members`)).status).toBe(404);
  });

  test.each(['group=x', 'sort=name', 'search=', `search=${'x'.repeat(201)}`, 'status=active'])(
    '422 for %s',
    async (query) => {
      expect((await api.get(`${path}?${query}`)).status).toBe(422);
    },
  );

  test('422 for a cursor of another organization or filter', async () => {
    const { next_cursor: cursor } = (await api.get(`${path}?limit=1`)).body;
    for (const at of [`${organizations}/${other.id}/members?`, `${path}?group=${sales.id}&`])
      expect((await api.get(`${at}limit=1&cursor=${cursor}`)).status).toBe(422);
  });
});

describe('the organizations of a user', () => {
  const ofAlice = `${issuerPath}/users/${alice.id}/organizations`;

  test('each with what the user may do there', async () => {
    expect((await api.get(ofAlice)).body.data).toEqual([
      {
        organization_id: other.id,
        name: 'Another',
        external_id: null,
        status: 'active',
        scopes: ['x:y'],
        groups: [],
        created_at: expect.stringMatching(/Z$/),
        updated_at: expect.stringMatching(/Z$/),
      },
      expect.objectContaining({
        organization_id: organization.id,
        external_id: 'tenant',
        scopes: ['c:d'],
      }),
    ]);
    const ofBob = (await api.get(`${issuerPath}/users/${bob.id}/organizations`)).body.data;
    expect(ofBob).toMatchObject([
      {
        scopes: ['a:b'],
        groups: [
          { id: sales.id, name: 'Sales' },
          { id: admins.id, name: 'admins' },
        ],
      },
    ]);
  });

  test.each([
    ['created_at', () => [organization.id, other.id]],
    ['name', () => [other.id, organization.id]],
    ['-name', () => [organization.id, other.id]],
  ])('in the order of %s, page by page as at once', async (sort, expected) => {
    expect(await paged(ofAlice, `sort=${sort}`, 'organization_id')).toEqual(expected());
  });

  test('a suspended one is told with its status', async () => {
    succeeded(await api.post(`${organizations}/${other.id}/suspend`));
    expect((await api.get(ofAlice)).body.data[0]).toMatchObject({
      organization_id: other.id,
      status: 'suspended',
    });
    succeeded(await api.post(`${organizations}/${other.id}/activate`));
  });
});
