import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
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
const issuerPath = `/v1/issuers/${issuer.id}`;
const organization = await api.create(`${issuerPath}/organizations`, { name: 'Tenant' });
const path = `${issuerPath}/organizations/${organization.id}`;
const large = Array.from(
  { length: 29 },
  (_, n) => `${'r'.repeat(46)}${String(n).padStart(2, '0')}.${'s'.repeat(47)}:x`,
);
const groups: { id: string }[] = [];
for (let n = 0; n < 24; n++)
  groups.push(await api.create(`${path}/groups`, { name: `Group ${n}`, scopes: large.slice(0, 28) }));
const idsOf = (from: { id: string }[]) => from.map(({ id }) => id);
let users = 0;
const newUser = () => api.create(`${issuerPath}/users`, { username: `user-${++users}@example.com` });
const refusal = (answer: { status: number; body: { code: string; errors?: object[] } }) => [
  answer.status,
  answer.body.code,
  answer.body.errors,
];

// Attack: 50 groups of 100 scopes for each of 100 members: half a million scopes on a page, and nobody else is served.
describe('what a member has in all', () => {
  const tooMuch = (at: string) => [
    422,
    'invalid_request',
    [expect.objectContaining({ path: at, code: 'too_many_scopes' })],
  ];

  test('is bounded where groups are given', async () => {
    const user = await newUser();
    const body = { member_id: user.id, groups: idsOf(groups) };
    expect(refusal(await api.post(`${path}/members`, body))).toEqual(tooMuch('groups'));
    const member = await api.create(`${path}/members`, { ...body, groups: idsOf(groups.slice(0, 20)) });
    const at = `${path}/members/${member.member_id}`;
    expect(refusal(await api.patch(at, { groups: idsOf(groups) }))).toEqual(tooMuch('groups'));
    expect((await api.get(at)).body.data).toEqual(member);
  });

  test('and where a group grows', async () => {
    const user = await newUser();
    const some = groups.slice(0, 23);
    await api.create(`${path}/members`, { member_id: user.id, groups: idsOf(some) });
    const answers = await atOnce(23, (n) => api.patch(`${path}/groups/${some[n]!.id}`, { scopes: large }));
    const bytes = JSON.stringify(large).length;
    const before = JSON.stringify(large.slice(0, 28)).length;
    const fitting = Math.floor((64 * 1024 - 23 * before) / (bytes - before));
    expect(answers.filter(({ status }) => status === 200).length).toBe(fitting);
    expect(refusal(answers.find(({ status }) => status !== 200)!)).toEqual(tooMuch('scopes'));
    // Those who are in few groups keep nobody from giving theirs more.
    succeeded(await api.patch(`${path}/groups/${groups[23]!.id}`, { scopes: large }));
  });

  test('is no part of lists', async () => {
    const { body } = succeeded(await api.get(`${path}/members`));
    for (const member of body.data) expect(Object.keys(member)).not.toContain('effective_scopes');
    expect(JSON.stringify(body).length).toBeLessThan(20_000);
  });
});

// Attack: be in so many groups that each look-up of them takes longer than it may.
test('a user is in 10,000 groups at most, also when the last are given at once', async () => {
  const user = await newUser();
  const [first, ...others] = await Promise.all(
    Array.from({ length: 21 }, (_, n) => api.create(`${issuerPath}/organizations`, { name: `Full ${n}` })),
  );
  const full = `${issuerPath}/organizations/${first.id}`;
  await api.create(`${full}/members`, { member_id: user.id, scopes: ['a:b'] });
  await rows.query(
    `insert into groups (id, account_id, issuer_id, organization_id, name, name_key, scopes, scopes_bytes)
      select 'grp_' || lpad(n::text, 25, '0'), account_id, issuer_id, id, n::text, n::text, '{a:b}', 7
      from organizations, generate_series(1, 9990) n where id = $1`,
    [first.id],
  );
  await rows.query(
    `insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
      select g.id, m.id, m.account_id, m.issuer_id, m.organization_id
      from memberships m join groups g on g.organization_id = m.organization_id where m.user_id = $1`,
    [user.id],
  );
  const bodies = await Promise.all(
    others.map(async ({ id }: { id: string }) => {
      const at = `${issuerPath}/organizations/${id}`;
      const own = await api.create(`${at}/groups`, { name: 'Own', scopes: ['a:b'] });
      return { at: `${at}/members`, body: { member_id: user.id, groups: [own.id] } };
    }),
  );
  const answers = await atOnce(20, (n) => api.post(bodies[n]!.at, bodies[n]!.body));
  expect(answers.filter(({ status }) => status === 201).length).toBe(10);
  expect(answers.filter(({ body }) => body.code === 'limit_reached').length).toBe(10);
  // What it has can be changed as long as it is no more.
  const { at } = bodies[answers.findIndex(({ status }) => status === 201)]!;
  succeeded(await api.patch(`${at}/${user.id}`, { scopes: ['c:d'] }));
});
