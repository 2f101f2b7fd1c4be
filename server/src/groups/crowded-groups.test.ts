import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { bytesOfScopes, maxBytesOfList, maxScopeBytesOfMember } from '../scopes/product-scopes.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);

async function createOrganization() {
  const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
  const issuerPath = `/v1/issuers/${issuer.id}`;
  const { id } = await api.create(`${issuerPath}/organizations`, { name: 'Tenant' });
  const path = `${issuerPath}/organizations/${id}`;
  const newGroup = async (name: string, scopes = ['a:b']): Promise<string> =>
    (await api.create(`${path}/groups`, { name, scopes })).id;
  const newMember = async (name: string, body: object): Promise<string> => {
    const user = await api.create(`${issuerPath}/users`, { username: `${name}@example.com` });
    await api.create(`${path}/members`, { member_id: user.id, ...body });
    return user.id;
  };
  return { id, path, newGroup, newMember };
}
type Organization = Awaited<ReturnType<typeof createOrganization>>;

/** So many members, behind the API's back, each in all of these groups. */
async function fill(
  { id }: Organization,
  { count, scopes, groups }: { count: number; scopes: string[]; groups: readonly string[] },
): Promise<void> {
  // Without the checks of foreign keys, which read a table whole for each row where it was empty a moment ago.
  await rows.query('set session_replication_role = replica');
  await rows.query(
    `with made as (
      insert into users (id, account_id, issuer_id, username_type, username, username_key)
      select 'usr_' || $3 || n, account_id, issuer_id, 'unique-name', $3 || n, $3 || n
      from organizations, generate_series(1, $2::int) n where id = $1
      returning id, account_id, issuer_id
    ), joined as (
      insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
      select 'mem_' || id, account_id, issuer_id, $1, id, $4, $5 from made
      returning id, account_id, issuer_id
    )
    insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
    select unnest($6::text[]), id, account_id, issuer_id, $1 from joined`,
    [id, count, `${groups[0]}-${scopes.length}-`, scopes, bytesOfScopes(scopes), groups],
  );
  await rows.query('set session_replication_role = origin');
}

/** As if its scopes came to so many. */
const setBytes = (table: 'groups' | 'memberships', where: string, id: string, bytes: number) =>
  rows.query(`update ${table} set scopes_bytes = $2 where ${where} = $1`, [id, bytes]);

// Attack: a group that grows takes those who are in it beyond what a member may have, and every answer about them with it.
test.each([
  [0, 0],
  [1_000, 0],
  [maxBytesOfList, 0],
  // As many as are summed up in one pass.
  [1_000, 10_000],
  [maxBytesOfList, 10_000],
])(
  'a group grows to the last byte that its fullest member has room for, who has %i of its own, beside %i others',
  async (own, others) => {
    const tenant = await createOrganization();
    const [grows, full, gone] = [
      await tenant.newGroup('A'),
      await tenant.newGroup('B'),
      await tenant.newGroup('C'),
    ];
    const fullest = await tenant.newMember('fullest', { scopes: ['a:b'], groups: [grows, full, gone] });
    await tenant.newMember('other', { scopes: ['a:b'], groups: [grows] });
    // Who has more than it may, as a node of an older build let it have, and is not in the group.
    const outside = await tenant.newMember('outside', { scopes: ['a:b'], groups: [full] });
    await fill(tenant, { count: others, scopes: [], groups: [grows] });
    await setBytes('memberships', 'user_id', fullest, own);
    await setBytes('memberships', 'user_id', outside, maxBytesOfList);
    // What a deleted group has left is nobody's place.
    succeeded(await api.delete(`${tenant.path}/groups/${gone}`));
    const scopes = ['a:b', 'c:d'];
    const room = maxScopeBytesOfMember - own - bytesOfScopes(scopes);
    const patch = () => api.patch(`${tenant.path}/groups/${grows}`, { scopes });

    await setBytes('groups', 'id', full, room + 1);
    const refused = await patch();
    expect([refused.status, refused.body.errors]).toEqual([
      422,
      [expect.objectContaining({ path: 'scopes', code: 'too_many_scopes' })],
    ]);
    await setBytes('groups', 'id', full, room);
    expect((await patch()).status).toBe(200);
  },
  60_000,
);

// Attack: an organization is made so large that what looks at its members runs into the timeout, under a lock that all others wait for.
test('groups of very many members grow and go, also where Postgres does not know yet how many there are', async () => {
  const many = scaled(200, 100_000);
  const tenant = await createOrganization();
  const wide = (length: number) =>
    Array.from({ length: 80 }, (_, n) => `resource${n}:read${'a'.repeat(length)}`);
  const groups: string[] = [];
  for (let n = 0; n < 25; n++) groups.push(await tenant.newGroup(`Group ${n}`, wide(16)));
  const last = await tenant.newGroup('Last');
  await fill(tenant, { count: many, scopes: [], groups: groups.slice(0, 6) });
  // So that each has room for what comes, but not for as much as a member may have of its own.
  for (const id of groups.slice(4, 6)) await setBytes('groups', 'id', id, 26_000);
  await fill(tenant, { count: 3, scopes: [], groups: [last] });
  await fill(tenant, { count: 2, scopes: ['own:scope'], groups: [last] });
  // It keeps them from nothing: who is in it beside has something left.
  await fill(tenant, { count: 4, scopes: [], groups: [groups[6]!, last] });

  for (const [statistics, grows, goes] of [
    ['behind', groups[0], groups[1]],
    ['up to date', groups[2], groups[3]],
  ] as const) {
    if (statistics === 'up to date') await rows.query('analyze');
    const startedAt = performance.now();
    const grown = await api.patch(`${tenant.path}/groups/${grows}`, { scopes: wide(20) });
    const grownAt = performance.now();
    const small = await api.patch(`${tenant.path}/groups/${last}`, { scopes: wide(statistics.length) });
    const smallAt = performance.now();
    const deleted = await api.delete(`${tenant.path}/groups/${goes}`);
    const deletedAt = performance.now();
    expect([grown.status, small.status, deleted.status]).toEqual([200, 200, 204]);
    const refused = await api.delete(`${tenant.path}/groups/${last}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'group_in_use']);
    expect(refused.body.detail).toMatch(/^3 members /);
    if (isSoak)
      console.log(
        `SOAK ${many} members in 6 groups, statistics ${statistics}: group grown in ${Math.round(grownAt - startedAt)} ms, a small one in ${Math.round(smallAt - grownAt)} ms, deleted in ${Math.round(deletedAt - smallAt)} ms`,
      );
  }

  // One that is the last of all its members: each is counted.
  for (const id of [groups[0], groups[2], groups[4]])
    succeeded(await api.delete(`${tenant.path}/groups/${id}`));
  const refused = await api.delete(`${tenant.path}/groups/${groups[5]}`);
  expect(refused.body.detail).toMatch(new RegExp(`^${many} members `));
});
