import { afterAll, beforeEach, expect, test } from 'vitest';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { createOrganizationSweep } from './organization-sweep.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
// Closed, it keeps off, so that what is tested is what stands there before it comes.
await services.organizationSweep.close();
await services.issuerDeletion.close();

const many = 120;
let customer: Customer;
let issuerPath: string;
let issuerId: string;
beforeEach(async () => {
  customer = await createCustomer(server);
  ({ id: issuerId } = await customer.api.create('/v1/issuers', { name: 'Acme API' }));
  issuerPath = `/v1/issuers/${issuerId}`;
});

/** An organization with so many members, all of them in one group, most made behind the API's back. */
async function largeOrganization() {
  const { api } = customer;
  const { id } = await api.create(`${issuerPath}/organizations`, { name: 'large' });
  const path = `${issuerPath}/organizations/${id}`;
  const group = await api.create(`${path}/groups`, { name: 'All', scopes: ['invoices:read'] });
  const user = await api.create(`${issuerPath}/users`, { username: `${id}@example.com` });
  await api.create(`${path}/members`, { member_id: user.id, scopes: ['a:b'], groups: [group.id] });
  await rows.query(
    `with made as (
      insert into users (id, account_id, issuer_id, username_type, username, username_key)
      select 'usr_' || $1 || n, account_id, issuer_id, 'unique-name', $1 || n, $1 || n
      from organizations, generate_series(2, $2::int) n where id = $1
      returning id, account_id, issuer_id
    ), joined as (
      insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
      select 'mem_' || id, account_id, issuer_id, $1, id, '{}', 2 from made
      returning id, account_id, issuer_id
    )
    insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
    select $3, id, account_id, issuer_id, $1 from joined`,
    [id, many, group.id],
  );
  return { id, path, group, user };
}

const left = async () => {
  const [row] = await rows.query(
    `select (select count(*)::int from memberships where issuer_id = $1) as members,
       (select count(*)::int from groups where issuer_id = $1) as groups,
       (select count(*)::int from group_memberships where issuer_id = $1) as places,
       (select count(*)::int from departed_organizations where issuer_id = $1) as departed`,
    [issuerId],
  );
  return row;
};
const nothing = { members: 0, groups: 0, places: 0, departed: 0 };

// Attack: an organization is filled with so many members that deleting it takes longer than a request may.
test('a deleted organization’s members are nobody’s at once, and gone in steps', async () => {
  const { api } = customer;
  const large = await largeOrganization();
  const kept = await largeOrganization();
  const { token } = await signIn(server, issuerId, large.user.id);
  succeeded(await api.delete(large.path));
  expect(await left()).toEqual({ members: 2 * many, groups: 2, places: 2 * many, departed: 1 });
  for (const path of ['members', `members/${large.user.id}`, 'groups', `groups/${large.group.id}`])
    expect((await api.get(`${large.path}/${path}`)).status, path).toBe(404);
  const body = { member_id: large.user.id, scopes: ['a:b'] };
  expect((await api.post(`${large.path}/members`, body)).status).toBe(404);
  expect((await api.get(`${issuerPath}/users/${large.user.id}/organizations`)).body.data).toEqual([]);
  const me = await api.as(null).get('/v1/me', { Authorization: `Bearer ${token}` });
  expect(me.body.data.organizations).toEqual([]);

  const sweep = createOrganizationSweep(services.database, server.running.services.log, 50);
  sweep.wake();
  await expect
    .poll(left, { timeout: 20_000 })
    .toEqual({ members: many, groups: 1, places: many, departed: 0 });
  await sweep.close();
  expect((await api.get(`${kept.path}/members?limit=100`)).body.has_more).toBe(true);
});

test('a member made at the moment its organization is deleted is nobody’s', async () => {
  const { api } = customer;
  for (let round = 0; round < 5; round++) {
    const { id } = await api.create(`${issuerPath}/organizations`, { name: 'x' });
    const path = `${issuerPath}/organizations/${id}`;
    const users = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        api.create(`${issuerPath}/users`, { username: `${id}-${n}@example.com` }),
      ),
    );
    const answers = await Promise.all([
      ...users.map((user) => api.post(`${path}/members`, { member_id: user.id, scopes: ['a:b'] })),
      api.post(`${path}/groups`, { name: 'x', scopes: ['a:b'] }),
      api.delete(path),
    ]);
    for (const { status } of answers.slice(0, -1)) expect([201, 404]).toContain(status);
    expect(answers.at(-1)!.status).toBe(204);
  }
  const sweep = createOrganizationSweep(services.database, services.log);
  sweep.wake();
  await expect.poll(left, { timeout: 20_000 }).toEqual(nothing);
  await sweep.close();
});

test('a user takes its memberships with it, and an issuer and an account all of theirs', async () => {
  const { api, id } = customer;
  const large = await largeOrganization();
  succeeded(await api.delete(`${issuerPath}/users/${large.user.id}`));
  expect(await left()).toMatchObject({ members: many - 1, places: many - 1 });
  const query = new URLSearchParams({ name: 'Acme', force: 'true' });
  succeeded(await server.operator.api.delete(`/v1/accounts/${id}?${query}`));
  await expect.poll(left, { timeout: 20_000 }).toEqual(nothing);
});
