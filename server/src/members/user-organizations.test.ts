import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import { lookUpOrganizationsOf, organizationsOf } from './user-organizations.ts';

const [organizations, groups] = [scaled(100, 1_000), scaled(5, 50)];
const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
const { api, id: accountId } = await createCustomer(server);
const nobody = api.as(null);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
const issuerPath = `/v1/issuers/${issuer.id}`;

let count = 0;
const newUser = () => api.create(`${issuerPath}/users`, { username: `user-${++count}@example.com` });
const newOrganization = (name = `Tenant ${++count}`) => api.create(`${issuerPath}/organizations`, { name });
const pathOf = (organization: { id: string }) => `${issuerPath}/organizations/${organization.id}`;
const join = (
  organization: { id: string },
  user: { id: string },
  body: object = { scopes: ['invoices:read'] },
) => api.create(`${pathOf(organization)}/members`, { member_id: user.id, ...body });

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
/** What the two endpoints that take an access token say of its user. */
async function told(token: string) {
  const [me, authMe] = [
    await nobody.get('/v1/me', bearer(token)),
    await nobody.get('/auth/me', bearer(token)),
  ];
  expect([me.status, authMe.status]).toEqual([200, 200]);
  expect(authMe.body.user.organizations).toEqual(me.body.data.organizations);
  return me.body.data.organizations;
}
const memberOf = (user: { id: string }) => ({ accountId, issuerId: issuer.id, userId: user.id });

describe('a token', () => {
  test('tells the organizations of its user at its time, with what the user may do there', async () => {
    const [user, first, second] = [await newUser(), await newOrganization(), await newOrganization()];
    const group = await api.create(`${pathOf(first)}/groups`, {
      name: 'Writers',
      scopes: ['invoices:write', 'a:b'],
    });
    await join(first, user, { scopes: ['invoices:read', 'a:b'], groups: [group.id] });
    const before = await signIn(server, issuer.id, user.id);
    const ofFirst = {
      org_id: first.id,
      name: first.name,
      scopes: ['a:b', 'invoices:read', 'invoices:write'],
    };
    expect(claimsOf(before.token).organizations).toEqual([ofFirst]);

    await join(second, user);
    const { body: after } = await nobody.post('/auth/refresh', { refresh_token: before.refresh_token });
    const ofSecond = { org_id: second.id, name: second.name, scopes: ['invoices:read'] };
    expect(claimsOf(after.token).organizations).toEqual([ofFirst, ofSecond]);
    // The older token is told the same: endpoints of ours ask who the user is now.
    for (const token of [before.token, after.token]) expect(await told(token)).toEqual([ofFirst, ofSecond]);
  });

  test('leaves a suspended organization out, and what it was told holds no longer than the change', async () => {
    const [user, kept, left] = [await newUser(), await newOrganization(), await newOrganization()];
    await join(kept, user);
    await join(left, user, { scopes: ['invoices:read', 'invoices:write'] });
    const { token } = await signIn(server, issuer.id, user.id);
    const idsNow = async () => (await told(token)).map(({ org_id: id }: { org_id: string }) => id);
    expect(await idsNow()).toEqual([kept.id, left.id]);

    succeeded(await api.post(`${pathOf(left)}/suspend`));
    expect(await idsNow()).toEqual([kept.id]);
    expect(claimsOf((await signIn(server, issuer.id, user.id)).token).organizations).toHaveLength(1);
    succeeded(await api.post(`${pathOf(left)}/activate`));
    expect(await idsNow()).toEqual([kept.id, left.id]);

    succeeded(await api.patch(`${pathOf(left)}/members/${user.id}`, { scopes: ['reports:read'] }));
    expect((await told(token))[1].scopes).toEqual(['reports:read']);
    succeeded(await api.delete(`${pathOf(left)}/members/${user.id}`));
    expect(await idsNow()).toEqual([kept.id]);
    succeeded(await api.delete(pathOf(kept)));
    expect(await idsNow()).toEqual([]);
  });

  // Attack: be a member of so much that one's token breaks every header that it is sent in.
  test('stays short for a user of 500 organizations, and its endpoints tell them all', async () => {
    const user = await newUser();
    await fill(user, 500);
    const { token } = await signIn(server, issuer.id, user.id);
    expect(token.length).toBeLessThan(8_000);
    const { organizations, organizations_omitted: omitted } = claimsOf(token);
    expect(organizations.length + omitted).toBe(500);
    expect(organizations.every((each: object) => Object.keys(each).join() === 'org_id')).toBe(true);
    const all = await told(token);
    expect(all.length).toBe(500);
    expect(all[0]).toEqual({ org_id: organizations[0].org_id, name: 'filling', scopes: ['a:b', 'c:d'] });
    expect((await api.get(`${issuerPath}/users/${user.id}/organizations?limit=100`)).body.has_more).toBe(
      true,
    );
  });
});

describe('organizationsOf', () => {
  test('is one statement however many there are, and narrows by client and by organization', async () => {
    const user = await newUser();
    await fill(user, 50);
    const organization = await newOrganization();
    await join(organization, user, { scopes: ['a:b', 'x:y'] });
    const read = (narrowing: object) =>
      services.database.withAccount(accountId, (tx) => organizationsOf(tx, memberOf(user), narrowing));
    server.statements.length = 0;
    expect((await read({})).length).toBe(51);
    expect(server.statements.filter((sql) => /lookup_user_organizations|membership/.test(sql)).length).toBe(
      1,
    );

    const only = { onlyOrganization: organization.id };
    const whole = { org_id: organization.id, name: organization.name, scopes: ['a:b', 'x:y'] };
    expect(await read(only)).toEqual([whole]);
    expect(await read({ ...only, organizationScopes: ['x:y', 'z:z'] })).toEqual([
      { ...whole, scopes: ['x:y'] },
    ]);
    expect(await read({ ...only, organizationScopes: [] })).toEqual([{ ...whole, scopes: [] }]);
    expect(await read({ onlyOrganization: 'org_0000000000000000000000000' })).toEqual([]);
    expect(await lookUpOrganizationsOf(services.lookupPool, memberOf(user), only)).toEqual([whole]);
    for (const wrong of [{ accountId: 'acc_x' }, { issuerId: 'i_x' }, { userId: 'usr_x' }])
      expect(await lookUpOrganizationsOf(services.lookupPool, { ...memberOf(user), ...wrong })).toEqual([]);
  });

  test('sees what its own transaction has changed, and of a suspended user nothing', async () => {
    const [user, organization] = [await newUser(), await newOrganization()];
    await join(organization, user);
    await services.database
      .withAccount(accountId, async (tx) => {
        await tx
          .updateTable('memberships')
          .set({ scopes: ['t:x'] })
          .where('user_id', '=', user.id)
          .execute();
        expect(await organizationsOf(tx, memberOf(user))).toMatchObject([{ scopes: ['t:x'] }]);
        throw new Error('rolled back');
      })
      .catch(() => {});
    succeeded(await api.post(`${issuerPath}/users/${user.id}/suspend`));
    expect(await lookUpOrganizationsOf(services.lookupPool, memberOf(user))).toEqual([]);
  });

  // Attack: one organization gives a user so many scopes that answering it takes the service's memory, or that the other
  // organizations of the user lose theirs.
  test('past a megabyte of scopes tells the largest by their ids alone, and the others whole', async () => {
    const user = await newUser();
    const bloated = [await newOrganization(), await newOrganization()];
    const [small, suspended] = [await newOrganization(), await newOrganization()];
    for (const organization of [...bloated, small, suspended]) await join(organization, user);
    await rows.query(
      'update memberships set scopes_bytes = 700000 where user_id = $1 and organization_id = any($2)',
      [user.id, [...bloated, suspended].map(({ id }) => id)],
    );
    succeeded(await api.post(`${pathOf(suspended)}/suspend`));
    const whole = ({ id, name }: { id: string; name: string }) => ({
      org_id: id,
      name,
      scopes: ['invoices:read'],
    });
    const { token } = await signIn(server, issuer.id, user.id);
    const expected = [whole(bloated[0]), { org_id: bloated[1].id }, whole(small)];
    expect(await told(token)).toEqual(expected);
    expect(claimsOf(token).organizations).toEqual(expected);
  });

  // Attack: members of everything, in every group of it, for whom each `/v1/me` is a look-up that does not end in time.
  test(`answers for a user of ${organizations} organizations with ${groups} groups in each`, async () => {
    const user = await newUser();
    const prefix = await fill(user, organizations);
    await fillGroups(prefix, groups);
    await rows.query('analyze memberships, groups, group_memberships, organizations');
    const { token } = await signIn(server, issuer.id, user.id);
    const all = await told(token);
    expect(all.length).toBe(organizations);
    const last = all.at(-1);
    expect(last.scopes.length).toBe(2 + groups);
    expect(last.scopes).toEqual(last.scopes.toSorted());
  });
});

// Attack: look-ups that nobody waits for any more, and that Postgres goes on with, until it has no processor left.
test('Postgres gives a look-up up soon after the node has', async () => {
  const { rows: told } = await services.lookupPool.query('show statement_timeout');
  expect(told).toEqual([{ statement_timeout: '1s' }]);
});

describe('memberships of a user', () => {
  test('are 1,000 at most, also when the last are made at once', async () => {
    const user = await newUser();
    await fill(user, 995);
    const organizations = await Promise.all(Array.from({ length: 50 }, () => newOrganization()));
    const answers = await atOnce(50, (index) =>
      api.post(`${pathOf(organizations[index])}/members`, { member_id: user.id, scopes: ['a:b'] }),
    );
    expect(answers.filter(({ status }) => status === 201).length).toBe(5);
    const refused = answers.filter(({ body }) => body.code === 'limit_reached');
    expect(refused.length).toBe(45);
    expect(refused[0]!.body.detail).toContain('1000');
  });
});

test('a forged token does not say where its user is a member', async () => {
  const [user, organization] = [await newUser(), await newOrganization()];
  const { token } = await signIn(server, issuer.id, user.id);
  const record = await services.keys.findIssuer(issuer.id);
  const claims = {
    ...claimsOf(token),
    organizations: [{ org_id: organization.id, name: 'x', scopes: ['a:b'] }],
  };
  expect(claims.iss).toBe(issuerUrl(services.settings, issuer.id));
  const made = await services.signingKeys.sign(record!, claims, 'at+jwt');
  expect(await told(made)).toEqual([]);
});

/** So many organizations with the user in them, past the API for want of time. */
async function fill(user: { id: string }, howMany: number): Promise<string> {
  const prefix = `f${String(++count).padStart(6, '0')}x`;
  await rows.query(
    `insert into organizations (id, account_id, issuer_id, name)
      select 'org_' || rpad($3 || lpad(n::text, 4, '0'), 25, '0'), $1, $2, 'filling' from generate_series(1, $4::int) n`,
    [accountId, issuer.id, prefix, howMany],
  );
  await rows.query(
    `insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
      select 'mem_' || substr(id, 5), account_id, issuer_id, id, $2, '{c:d,a:b}', 13
      from organizations where issuer_id = $1 and id like 'org_' || $3 || '%'`,
    [issuer.id, user.id, prefix],
  );
  return prefix;
}

/** In each organization that `fill` has made so many groups of one scope, with the user in all of them. */
async function fillGroups(prefix: string, howMany: number): Promise<void> {
  await rows.query(
    `insert into groups (id, account_id, issuer_id, organization_id, name, name_key, scopes, scopes_bytes)
      select 'grp_' || substr(o.id, 5, 20) || lpad(n::text, 5, '0'), o.account_id, o.issuer_id, o.id, n::text, n::text,
        array['g' || n || ':x'], 10
      from organizations o, generate_series(1, $3::int) n where o.issuer_id = $1 and o.id like 'org_' || $2 || '%'`,
    [issuer.id, prefix, howMany],
  );
  await rows.query(
    `insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
      select g.id, m.id, m.account_id, m.issuer_id, m.organization_id
      from memberships m join groups g on g.organization_id = m.organization_id
      where m.issuer_id = $1 and m.organization_id like 'org_' || $2 || '%'`,
    [issuer.id, prefix],
  );
}
