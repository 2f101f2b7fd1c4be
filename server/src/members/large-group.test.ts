import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
const { id } = await api.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'Tenant' });
const groups = `/v1/issuers/${issuer.id}/organizations/${id}/groups`;
const group = await api.create(groups, { name: 'Large', scopes: ['a:b'] });

/** Two of three users are in the group; their names run the other way than their ids. */
const count = 15_300;
const everyone = Array.from({ length: count }, (_, at) => ({
  id: `usr_${String(at).padStart(6, '0')}`,
  name: `user-${String(count - at).padStart(6, '0')}`,
  isIn: at % 3 !== 0,
}));
await rows.query(
  `with asked as (
    select * from unnest($2::text[], $3::text[], $4::bool[]) as asked(id, name, is_in)
  ), made as (
    insert into users (id, account_id, issuer_id, username_type, username, username_key)
    select asked.id, account_id, issuer_id, 'unique-name', asked.name, asked.name from organizations, asked where organizations.id = $1
    returning id, account_id, issuer_id
  ), joined as (
    insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
    select 'mem_' || id, account_id, issuer_id, $1, id, '{}', 0 from made
    returning id, account_id, issuer_id, user_id
  )
  insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
  select $5, joined.id, account_id, issuer_id, $1 from joined join asked on asked.id = user_id where is_in`,
  [
    id,
    everyone.map((user) => user.id),
    everyone.map((user) => user.name),
    everyone.map((user) => user.isIn),
    group.id,
  ],
);
const members = everyone.filter((user) => user.isIn).map((user) => user.id);

/** The first pages, of 100 members each. */
async function pages(query: string, most = 3): Promise<string[]> {
  const seen: string[] = [];
  let cursor = '';
  for (let page = 0; page < most; page++) {
    const { body } = succeeded(await api.get(`${groups}/${group.id}/members?limit=100&${query}${cursor}`));
    seen.push(...body.data.map(({ member_id }: { member_id: string }) => member_id));
    if (body.next_cursor === null) break;
    cursor = `&cursor=${body.next_cursor}`;
  }
  return seen;
}

test('a large group is listed page by page, each of its members once, in every order', async () => {
  expect(members.length).toBeGreaterThan(10_000);
  const [first, last] = [members.slice(0, 300), members.toReversed().slice(0, 300)];
  expect(await pages('sort=created_at')).toEqual(first);
  expect(await pages('sort=-created_at')).toEqual(last);
  expect(await pages('sort=username')).toEqual(last);
  expect(await pages('sort=-username')).toEqual(first);
});

test('a large group is searched', async () => {
  const found = everyone.filter(({ name, isIn }) => isIn && name.includes('00171'));
  expect(await pages('search=00171&sort=created_at')).toEqual(found.map((user) => user.id));
  expect(found.length).toBeGreaterThan(5);
});
