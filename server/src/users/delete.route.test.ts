import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { maxMembershipsOfUser } from '../members/member-schema.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/users`;

describe('204', () => {
  test('is gone by the next request, its username free, with one event that tells no address', async () => {
    const members = {
      username: 'gone@example.com',
      profile: { first_name: 'Gone' },
      metadata: { of: 'old' },
    };
    const old = await api.create(path, members);
    succeeded(await api.post(`${path}/${old.id}/suspend`));
    const { result: answer, events } = await rows.eventsOf(() => api.delete(`${path}/${old.id}`));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(events).toMatchObject([
      {
        type: 'user.deleted',
        subject_id: old.id,
        actor: { id: key.id },
        data: { username_type: 'email' },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain('@');
    expect((await api.get(`${path}/${old.id}`)).status).toBe(404);
    expect((await api.delete(`${path}/${old.id}`)).status).toBe(404);
    // Attack: whoever comes by the address later finds what its last owner had.
    const renewed = await api.create(path, { username: 'gone@example.com' });
    expect(renewed.id).not.toBe(old.id);
    expect(renewed).toMatchObject({ status: 'active', profile: {}, metadata: {} });
  });

  // Attack: whoever may delete users takes members out of organizations, and the trails of those say nothing.
  test('leaves an event in the trail of each of its organizations, with what it had there', async () => {
    const organizations = [];
    for (const name of ['One', 'Two', 'Gone'])
      organizations.push(await api.create(`${issuer.path}/organizations`, { name }));
    const [one, two, gone] = organizations.map(({ id }) => `${issuer.path}/organizations/${id}`);
    const user = await api.create(path, { username: 'member@example.com' });
    const other = await api.create(path, { username: 'other@example.com' });
    const groups = [];
    for (const name of ['B', 'A'])
      groups.push((await api.create(`${one}/groups`, { name, scopes: ['c:d'] })).id);
    await api.create(`${one}/members`, { member_id: user.id, scopes: ['a:b'], groups });
    for (const at of [two, gone]) await api.create(`${at}/members`, { member_id: user.id, scopes: ['x:y'] });
    await api.create(`${two}/members`, { member_id: other.id, scopes: ['x:y'] });
    succeeded(await api.post(`${two}/suspend`));
    // Its trail has ended, whether or not the job has been there.
    succeeded(await api.delete(gone!));

    const { events } = await rows.eventsOf(() => api.delete(`${path}/${user.id}`));
    const told = { type: 'organization.membership.deleted', subject_type: 'member', subject_id: user.id };
    expect(events).toMatchObject([
      { type: 'user.deleted', organization_id: null },
      { ...told, organization_id: organizations[0].id, actor: { id: key.id }, issuer_id: issuer.id },
      { ...told, organization_id: organizations[1].id, environment: 'live' },
    ]);
    expect(events.slice(1).map(({ data }) => data)).toEqual([
      { scopes: ['a:b'], groups: groups.toSorted(), reason: 'user_deleted' },
      { scopes: ['x:y'], groups: [], reason: 'user_deleted' },
    ]);
    expect(succeeded(await api.get(`${two}/members`)).body.data).toMatchObject([{ member_id: other.id }]);
    const own = await withScopes(api, ['gatelodge.events:read'], `${one}/api-keys`);
    const [newest] = succeeded(await own.get('/v1/events?type=organization.membership.deleted')).body.data;
    expect(newest.subject).toEqual({ type: 'member', id: user.id });
  });

  test('beside changes of its organizations and memberships each end of a membership is told once', async () => {
    for (let round = 0; round < scaled(3, 30); round++) {
      const organizations = await Promise.all(
        Array.from({ length: 6 }, () => api.create(`${issuer.path}/organizations`, { name: 'x' })),
      );
      const at = organizations.map(({ id }) => `${issuer.path}/organizations/${id}`);
      const user = await api.create(path, { username: `racing-${round}@example.com` });
      const body = { member_id: user.id, scopes: ['a:b'] };
      for (const each of at.slice(0, 5)) await api.create(`${each}/members`, body);
      const { result: answers, events } = await rows.eventsOf(() =>
        Promise.all([
          api.delete(`${path}/${user.id}`),
          api.post(`${at[0]}/suspend`),
          api.delete(at[1]!),
          api.delete(`${at[2]}/members/${user.id}`),
          api.patch(`${at[3]}/members/${user.id}`, { scopes: ['c:d'] }),
          api.post(`${at[5]}/members`, body),
        ]),
      );
      expect(answers.slice(0, 3).map(({ status }) => status)).toEqual([204, 200, 204]);
      for (const { status } of answers.slice(3)) expect(status).toBeLessThan(500);
      const count = (type: string, index: number) =>
        events.filter(
          (event) =>
            event.type === `organization.membership.${type}` &&
            event.organization_id === organizations[index].id,
        ).length;
      // Once from each where it was a member, whoever took it out.
      for (const index of [0, 2, 3, 4]) expect([index, count('deleted', index)]).toEqual([index, 1]);
      expect(count('deleted', 1)).toBeLessThanOrEqual(1);
      expect(count('deleted', 5)).toBe(count('created', 5));
      const left = await rows.query('select 1 from memberships where user_id = $1', [user.id]);
      expect(left).toEqual([]);
    }
  });

  test('one of as many organizations as a user may have takes no longer than a request may', async () => {
    const [many, groupsOfEach] = [scaled(50, maxMembershipsOfUser), 10];
    const doomed = await TestIssuer.create(server, {}, {}, api);
    const user = await api.create(`${doomed.path}/users`, { username: 'busy@example.com' });
    const place = [doomed.id, many, groupsOfEach, user.id];
    const scopes = Array.from({ length: 100 }, (_, n) => `resource${n}:read${'x'.repeat(15)}`);
    await rows.query(
      `insert into organizations (id, account_id, issuer_id, name)
       select 'org_' || $1 || lpad(n::text, 4, '0'), account_id, $1, 'x' from issuers, generate_series(1, $2::int) n where id = $1`,
      place.slice(0, 2),
    );
    await rows.query(
      `insert into groups (id, account_id, issuer_id, organization_id, name, name_key, scopes, scopes_bytes)
       select 'grp_' || o.id || g, account_id, issuer_id, o.id, g, g, '{a:b}', 5
       from organizations o, generate_series(1, $2::int) g where issuer_id = $1`,
      [doomed.id, groupsOfEach],
    );
    await rows.query(
      `insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
       select 'mem_' || id, account_id, issuer_id, id, $2, $3, 3000 from organizations where issuer_id = $1`,
      [doomed.id, user.id, scopes],
    );
    await rows.query(
      `insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
       select id, 'mem_' || organization_id, account_id, issuer_id, organization_id from groups where issuer_id = $1`,
      [doomed.id],
    );
    const startedAt = performance.now();
    const { result: answer, events } = await rows.eventsOf(() =>
      api.delete(`${doomed.path}/users/${user.id}`),
    );
    if (isSoak)
      console.log(`SOAK user of ${many} organizations: DELETE in ${performance.now() - startedAt} ms`);
    expect(answer.status).toBe(204);
    expect(events.length).toBe(1 + many);
    expect(events.at(-1)?.data.groups).toHaveLength(groupsOfEach);
  });

  test('an issuer that is deleted takes its users and login settings along, in steps', async () => {
    const doomed = await TestIssuer.create(server, {}, {}, api);
    await rows.query(
      `insert into users (id, account_id, issuer_id, username_type, username, username_key)
       select 'usr_' || $1 || n, account_id, $1, 'unique-name', 'u' || n, 'u' || n
       from issuers, generate_series(1, 2500) n where id = $1`,
      [doomed.id],
    );
    succeeded(await api.patch(`${doomed.path}/login-settings`, { sign_up: false }));
    succeeded(await api.delete(doomed.path));
    for (const each of ['users', 'login-settings'])
      expect((await api.get(`${doomed.path}/${each}`)).status).toBe(404);
    const left = async () =>
      (
        await rows.query(
          `select (select count(*)::int from users where issuer_id = $1) as users,
             (select count(*)::int from login_settings where issuer_id = $1) as settings`,
          [doomed.id],
        )
      )[0];
    await expect.poll(left, { timeout: 20_000, interval: 20 }).toEqual({ users: 0, settings: 0 });
  });
});
