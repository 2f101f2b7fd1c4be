import { afterAll, afterEach, expect, test } from 'vitest';
import { atOnce, patiently } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { createIssuerDeletion } from '../issuers/issuer-deletion.ts';
import type { Periodic } from '../jobs/periodic.ts';
import { maxGroupsOfUser } from '../members/member-schema.ts';
import { createOrganizationSweep } from '../organizations/organization-sweep.ts';

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
const rows = await Rows.open(server.database);
// The jobs of the two nodes: closed, they keep off, so that what is tested is what stands there before they come.
await server.running.services.organizationSweep.close();
await node.running.services.organizationSweep.close();
await server.running.services.issuerDeletion.close();
await node.running.services.issuerDeletion.close();
const jobs: Periodic[] = [];
afterEach(async () => {
  for (const job of jobs.splice(0)) await job.close();
});
afterAll(async () => {
  await rows.close();
  await node.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const elsewhere = node.operator.api.as(caller);

function sweepOf({ running }: TestServer, atOnceAtMost?: number): Periodic {
  const job = createOrganizationSweep(running.services.database, running.services.log, atOnceAtMost);
  jobs.push(job);
  return job;
}

let made = 0;
async function createOrganization(as = api) {
  const issuer = await as.create('/v1/issuers', { name: 'Acme API' });
  const { id } = await as.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'Tenant' });
  const path = `/v1/issuers/${issuer.id}/organizations/${id}`;
  const newGroup = (scope: string, name = `Group ${++made}`) =>
    as.create(`${path}/groups`, { name, scopes: [scope] });
  const newMember = async (body: object) => {
    const user = await as.create(`/v1/issuers/${issuer.id}/users`, {
      username: `user-${++made}@example.com`,
    });
    await as.create(`${path}/members`, { member_id: user.id, ...body });
    return user.id as string;
  };
  return { id, path, issuerId: issuer.id as string, newGroup, newMember };
}
type Organization = Awaited<ReturnType<typeof createOrganization>>;

/** Puts so many into the group, made behind the API's back; they have a scope of their own. */
async function fill({ id }: Organization, groupId: string, count: number): Promise<void> {
  await rows.query(
    `with made as (
      insert into users (id, account_id, issuer_id, username_type, username, username_key)
      select 'usr_' || $3 || n, account_id, issuer_id, 'unique-name', $3 || n, $3 || n
      from organizations, generate_series(1, $2::int) n where id = $1
      returning id, account_id, issuer_id
    ), joined as (
      insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
      select 'mem_' || id, account_id, issuer_id, $1, id, '{own:scope}', 11 from made
      returning id, account_id, issuer_id
    )
    insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
    select $3, id, account_id, issuer_id, $1 from joined`,
    [id, count, groupId],
  );
}

const placesLeft = async (...groupIds: string[]) => {
  const [row] = await rows.query(
    'select count(*)::int as count from group_memberships where group_id = any ($1)',
    [groupIds],
  );
  return row!.count;
};
const departed = async (...groupIds: string[]) =>
  (await rows.query('select 1 from departed_groups where id = any ($1)', [groupIds])).length;
const goneSoon = (...groupIds: string[]) =>
  expect.poll(() => departed(...groupIds), { timeout: 600_000, interval: 20 }).toBe(0);

// Attack: a group is filled with so many members that deleting it takes longer than a request may, and what it gives stays given.
test('a large group gives nobody anything by the next request, before any of its places is taken away', async () => {
  const many = scaled(300, 200_000);
  const tenant = await createOrganization();
  const { path, issuerId } = tenant;
  const group = await tenant.newGroup('invoices:read', 'All');
  const member = await tenant.newMember({ scopes: ['a:b'], groups: [group.id] });
  await fill(tenant, group.id, many);
  const { token } = await signIn(server, issuerId, member);
  const asUser = async () =>
    (await api.as(null).get('/v1/me', { Authorization: `Bearer ${token}` })).body.data.organizations;
  expect(await asUser()).toMatchObject([{ scopes: ['a:b', 'invoices:read'] }]);

  const startedAt = performance.now();
  expect((await api.delete(`${path}/groups/${group.id}`)).status).toBe(204);
  const deletedMs = performance.now() - startedAt;
  expect(await placesLeft(group.id)).toBe(many + 1);

  expect(await asUser()).toMatchObject([{ scopes: ['a:b'] }]);
  for (const at of [api, elsewhere]) {
    expect((await at.get(`${path}/members/${member}`)).body.data).toMatchObject({
      groups: [],
      effective_scopes: ['a:b'],
    });
    const question = { member_id: member, scope: 'invoices:read' };
    expect((await at.post(`${path}/explain`, question)).body.data.allowed).toBe(false);
    expect((await at.get(`${path}/members?limit=1&sort=username`)).body.data[0].groups).toEqual([]);
    expect((await at.get(`${path}/members?group=${group.id}`)).body.data).toEqual([]);
    expect((await at.get(`${path}/groups/${group.id}`)).status).toBe(404);
    expect((await at.get(`${path}/groups/${group.id}/members`)).status).toBe(404);
    const [organization] = (await at.get(`/v1/issuers/${issuerId}/users/${member}/organizations`)).body.data;
    expect(organization.groups).toEqual([]);
  }

  // Made anew under its name it has nobody.
  const anew = await tenant.newGroup('invoices:read', 'All');
  expect((await api.get(`${path}/groups/${anew.id}/members`)).body.data).toEqual([]);
  expect(await asUser()).toMatchObject([{ scopes: ['a:b'] }]);
  await fill(tenant, anew.id, many);
  const filledAt = performance.now();
  expect((await api.delete(`${path}/groups/${anew.id}?force=true`)).status).toBe(204);
  const forcedMs = performance.now() - filledAt;

  const sweptFrom = performance.now();
  sweepOf(server).wake();
  await goneSoon(group.id, anew.id);
  expect(await placesLeft(group.id, anew.id)).toBe(0);
  if (isSoak) {
    console.log(
      `SOAK group of ${many}: DELETE answered in ${Math.round(deletedMs)} ms, forced in ${Math.round(forcedMs)} ms, ` +
        `places of two swept in ${Math.round(performance.now() - sweptFrom)} ms`,
    );
  }
});

test('what a deleted group has left neither keeps a member’s last group from being its last nor counts as one', async () => {
  const tenant = await createOrganization();
  const { path } = tenant;
  const [first, second] = [await tenant.newGroup('a:b'), await tenant.newGroup('c:d')];
  const member = await tenant.newMember({ groups: [first.id, second.id] });
  succeeded(await api.delete(`${path}/groups/${first.id}`));
  expect(await placesLeft(first.id)).toBe(1);
  const refused = await api.delete(`${path}/groups/${second.id}`);
  expect([refused.status, refused.body.code]).toEqual([409, 'group_in_use']);
  expect(refused.body.detail).toMatch(/^1 member /);

  // As many as a user may be in, all of them deleted.
  await rows.query(
    `insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
     select 'grp_gone_' || n, id, account_id, issuer_id, organization_id from memberships, generate_series(1, $2::int) n
     where organization_id = $1`,
    [tenant.id, maxGroupsOfUser],
  );
  const third = await tenant.newGroup('e:f');
  const groups = [second.id, third.id];
  const patched = succeeded(await api.patch(`${path}/members/${member}`, { groups })).body.data;
  expect(patched.effective_scopes).toEqual(['c:d', 'e:f']);
});

test('the sweep takes places away in steps, also two of it at once, goes on after a crash, and leaves others alone', async () => {
  const many = 200;
  const tenant = await createOrganization();
  const [doomed, kept] = [await tenant.newGroup('a:b'), await tenant.newGroup('a:b')];
  for (const { id } of [doomed, kept]) await fill(tenant, id, many);
  await rows.query('create table places_taken (group_id text, size integer)');
  await rows.query(`
    create function note_places() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.places_taken select group_id, count(*) from gone group by group_id;
      return null;
    end $$`);
  await rows.query(`create trigger note_places after delete on group_memberships referencing old table as gone
    for each statement execute function note_places()`);
  succeeded(await api.delete(`${tenant.path}/groups/${doomed.id}`));

  // What a node leaves behind that dies after some steps.
  const dying = sweepOf(server, 10);
  dying.wake();
  await expect.poll(() => placesLeft(doomed.id), { timeout: 20_000, interval: 1 }).toBeLessThan(many);
  await dying.close();
  for (const sweep of [sweepOf(server, 10), sweepOf(node, 10)]) sweep.wake();
  await goneSoon(doomed.id);
  const [taken] = await rows.query(
    'select max(size)::int as most, sum(size)::int as all from places_taken where group_id = $1',
    [doomed.id],
  );
  expect(taken).toEqual({ most: 10, all: many });
  await rows.query('drop trigger note_places on group_memberships');
  expect(await placesLeft(kept.id)).toBe(many);
});

test('of 50 at once one deletes it, and members who join meanwhile are in no group', async () => {
  const tenant = await createOrganization();
  const { path } = tenant;
  const group = await tenant.newGroup('a:b');
  const members = await Promise.all(
    Array.from({ length: 20 }, () => tenant.newMember({ scopes: ['own:scope'] })),
  );
  const [answers, joined] = await Promise.all([
    atOnce(50, () => api.delete(`${path}/groups/${group.id}?force=true`)),
    Promise.all(
      members.map((id) => patiently(() => elsewhere.patch(`${path}/members/${id}`, { groups: [group.id] }))),
    ),
  ]);
  expect(answers.filter(({ status }) => status === 204).length).toBe(1);
  expect(answers.filter(({ status }) => status === 404).length).toBe(49);
  for (const { status } of joined) expect([200, 422]).toContain(status);
  for (const id of members)
    expect((await api.get(`${path}/members/${id}`)).body.data.effective_scopes).toEqual(['own:scope']);
  sweepOf(server).wake();
  await goneSoon(group.id);
  expect(await placesLeft(group.id)).toBe(0);
});

// A node of the build before this one knows of no such sweep; its own deletes the groups of organizations as it does.
test('a group that is deleted by a plain statement is swept as well', async () => {
  const tenant = await createOrganization();
  const group = await tenant.newGroup('a:b');
  await fill(tenant, group.id, 10);
  await rows.query('delete from groups where id = $1', [group.id]);
  expect(await departed(group.id)).toBe(1);
  sweepOf(server).wake();
  await goneSoon(group.id);
  expect(await placesLeft(group.id)).toBe(0);
});

// Attack: an account deletes so many groups that nobody else's come to their turn.
test('no account’s groups wait for all of another’s', async () => {
  const [tenant, customer] = [await createOrganization(), await createCustomer(server)];
  const theirs = await createOrganization(customer.api);
  await rows.query(
    `insert into departed_groups (id, account_id, issuer_id, organization_id)
     select 'grp_0' || n, account_id, issuer_id, id from organizations, generate_series(1, 500) n where id = $1`,
    [tenant.id],
  );
  const { id } = await theirs.newGroup('a:b');
  succeeded(await customer.api.delete(`${theirs.path}/groups/${id}`));
  const due = await rows.query<{ id: string; account_id: string }>(
    'select * from lookup_departed_groups(100, 20)',
  );
  expect(due.filter((each) => each.account_id === customer.id)).toMatchObject([{ id }]);
  expect(due.length).toBe(21);
  await rows.query(`delete from departed_groups where id like 'grp_0%'`);
});

test('what is left goes with its organization, its issuer and its account', async () => {
  const customer = await createCustomer(server);
  const tenants = [];
  for (let n = 0; n < 3; n++) {
    const tenant = await createOrganization(customer.api);
    const group = await tenant.newGroup('a:b');
    await fill(tenant, group.id, 10);
    succeeded(await customer.api.delete(`${tenant.path}/groups/${group.id}`));
    // And one that is there when the organization goes.
    const other = await tenant.newGroup('a:b');
    await fill(tenant, other.id, 10);
    tenants.push({ ...tenant, groups: [group.id, other.id] as [string, string] });
  }
  const [ofOrganization, ofIssuer, ofAccount] = tenants as [
    (typeof tenants)[0],
    (typeof tenants)[0],
    (typeof tenants)[0],
  ];
  succeeded(await customer.api.delete(ofOrganization.path));
  succeeded(await customer.api.delete(`/v1/issuers/${ofIssuer.issuerId}`));
  const deletion = createIssuerDeletion(server.running.services.database, server.running.services.log);
  jobs.push(deletion);
  deletion.wake();
  await goneSoon(...ofIssuer.groups);
  await expect.poll(() => placesLeft(...ofIssuer.groups), { timeout: 20_000 }).toBe(0);
  sweepOf(server, 7).wake();
  await goneSoon(...ofOrganization.groups);
  await expect.poll(() => placesLeft(...ofOrganization.groups), { timeout: 20_000 }).toBe(0);
  const query = new URLSearchParams({ name: 'Acme', force: 'true' });
  succeeded(await server.operator.api.delete(`/v1/accounts/${customer.id}?${query}`));
  await expect.poll(() => placesLeft(...ofAccount.groups), { timeout: 20_000 }).toBe(0);
  await goneSoon(...ofAccount.groups);
});
