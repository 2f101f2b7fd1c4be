import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
const issuerPath = `/v1/issuers/${issuer.id}`;
const organization = await api.create(`${issuerPath}/organizations`, { name: 'Tenant' });
const organizationPath = `${issuerPath}/organizations/${organization.id}`;
const path = `${organizationPath}/groups`;
const scopes = ['invoices:read'];

let count = 0;
const newGroup = (members: object = {}) => api.create(path, { name: `Group ${++count}`, scopes, ...members });
const newMember = async (body: object) => {
  const user = await api.create(`${issuerPath}/users`, { username: `user-${++count}@example.com` });
  return api.create(`${organizationPath}/members`, { member_id: user.id, ...body });
};
const read = async (memberId: string) => (await api.get(`${organizationPath}/members/${memberId}`)).body.data;

describe('POST', () => {
  test('201: answers the group as it will be read', async () => {
    const body = { name: 'Accounting', scopes: ['invoices:write', 'invoices:read', 'invoices:write'] };
    const { result: answer, events } = await rows.eventsOf(() => api.post(path, body));
    expect(answer.status).toBe(201);
    expect(answer.body.data).toEqual({
      id: expect.stringMatching(/^grp_[0-9a-z]{25}$/),
      issuer_id: issuer.id,
      organization_id: organization.id,
      name: 'Accounting',
      scopes: ['invoices:write', 'invoices:read'],
      created_at: expect.stringMatching(/Z$/),
      updated_at: answer.body.data.created_at,
    });
    expect(answer.headers.get('Location')).toBe(`${path}/${answer.body.data.id}`);
    const got = await api.get(`${path}/${answer.body.data.id}`);
    expect([got.body.data, got.headers.get('ETag')]).toEqual([answer.body.data, answer.headers.get('ETag')]);
    expect(events).toMatchObject([
      {
        type: 'organization.group.created',
        organization_id: organization.id,
        subject_type: 'group',
        subject_id: answer.body.data.id,
        actor: { id: key.id },
        data: { name: 'Accounting' },
      },
    ]);
    const own = await withScopes(api, ['gatelodge.groups:write'], `${organizationPath}/api-keys`);
    expect((await own.post(path, { name: 'by its own key', scopes })).status).toBe(201);
  });

  test('409: one name in whatever case; of 50 at once one is made; two organizations may have one name', async () => {
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) => api.post(path, { name: index % 2 === 0 ? 'Raced É' : ' raced e\u0301', scopes })),
    );
    expect(answers.filter(({ status }) => status === 201).length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'group_name_taken').length).toBe(49);
    expect(events.length).toBe(1);
    const other = await api.create(`${issuerPath}/organizations`, { name: 'other' });
    await api.create(`${issuerPath}/organizations/${other.id}/groups`, { name: 'Raced É', scopes });
  });

  test.each([
    [{ name: 'x' }, 'scopes'],
    [{ name: 'x', scopes: [] }, 'scopes'],
    [{ name: '', scopes }, 'name'],
    [{ name: '\t', scopes }, 'name'],
    [{ name: 'x', scopes: ['gatelodge.users:write'] }, 'scopes[0]'],
    [{ name: 'x', scopes: ['KEYS:verify'] }, 'scopes[0]'],
    [{ name: 'x', scopes, organization_id: 'org_0000000000000000000000000' }, 'organization_id'],
  ])('422: %j is refused at %s and changes nothing', async (body, at) => {
    const before = await rows.snapshot();
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, at]);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('PATCH', () => {
  test('200: what changes holds for its members at once', async () => {
    const group = await newGroup();
    const member = await newMember({ groups: [group.id] });
    const { result: answer, events } = await rows.eventsOf(() =>
      api.patch(`${path}/${group.id}`, { scopes: ['reports:read'] }),
    );
    expect(answer.body.data).toMatchObject({ name: group.name, scopes: ['reports:read'] });
    expect(events).toMatchObject([{ type: 'organization.group.updated', data: { changed: ['scopes'] } }]);
    expect((await read(member.member_id)).effective_scopes).toEqual(['reports:read']);
    expect(
      (await rows.eventsOf(() => api.patch(`${path}/${group.id}`, { name: group.name }))).events,
    ).toEqual([]);
    const renamed = await api.patch(`${path}/${group.id}`, { name: group.name.toUpperCase() });
    expect(renamed.body.data.name).toBe(group.name.toUpperCase());
    expect((await api.patch(`${path}/${group.id}`, { name: 'x' }, { 'If-Match': '"1"' })).status).toBe(412);
  });

  test('409 and 422: another group’s name, no scope, reserved scopes', async () => {
    const [group, other] = [await newGroup(), await newGroup()];
    const before = await rows.snapshot();
    const codes = [];
    for (const body of [
      { name: other.name.toLowerCase() },
      { scopes: [] },
      { scopes: null },
      { name: null },
      { scopes: ['gatelodge.groups:write'] },
    ])
      codes.push((await api.patch(`${path}/${group.id}`, body)).body.code);
    expect(codes).toEqual(['group_name_taken', ...Array(4).fill('invalid_request')]);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('DELETE', () => {
  test('204: takes it from its members, who keep what else they have', async () => {
    const [group, other] = [await newGroup(), await newGroup({ scopes: ['x:y'] })];
    const member = await newMember({ scopes: ['a:b'], groups: [group.id] });
    const second = await newMember({ groups: [group.id, other.id] });
    const { result: answer, events } = await rows.eventsOf(() => api.delete(`${path}/${group.id}`));
    expect(answer.status).toBe(204);
    expect(events).toMatchObject([
      { type: 'organization.group.deleted', data: { name: group.name, forced: false } },
    ]);
    expect(await read(member.member_id)).toMatchObject({ groups: [], effective_scopes: ['a:b'] });
    expect(await read(second.member_id)).toMatchObject({
      groups: [{ id: other.id }],
      effective_scopes: ['x:y'],
    });
    // Made anew under its name it has no members.
    const anew = await api.create(path, { name: group.name, scopes });
    expect((await api.get(`${path}/${anew.id}/members`)).body.data).toEqual([]);
  });

  test('409: where members would have nothing left, and how many; forced they stay members with nothing', async () => {
    const group = await newGroup();
    const members = [await newMember({ groups: [group.id] }), await newMember({ groups: [group.id] })];
    await newMember({ scopes: ['a:b'], groups: [group.id] });
    const before = await rows.snapshot();
    const refused = await api.delete(`${path}/${group.id}`);
    expect([refused.status, refused.body.code]).toEqual([409, 'group_in_use']);
    expect(refused.body.detail).toMatch(/^2 members /);
    expect(await rows.snapshot()).toEqual(before);
    succeeded(await api.delete(`${path}/${group.id}?force=true`));
    for (const { member_id: id } of members)
      expect(await read(id)).toMatchObject({ scopes: [], groups: [], effective_scopes: [] });
  });

  // A race: one request leaves a member with the group alone while another takes the group away.
  test('no member is left with nothing unless it is forced, however they meet', async () => {
    for (let round = 0; round < 5; round++) {
      const group = await newGroup();
      const members = await Promise.all(
        Array.from({ length: 6 }, () => newMember({ scopes: ['a:b'], groups: [group.id] })),
      );
      const [deleted, ...patched] = await Promise.all([
        api.delete(`${path}/${group.id}`),
        ...members.map(({ member_id: id }) => api.patch(`${organizationPath}/members/${id}`, { scopes: [] })),
      ]);
      expect([204, 409]).toContain(deleted.status);
      for (const { status } of patched) expect([200, 422]).toContain(status);
      for (const { member_id: id } of members)
        expect((await read(id)).effective_scopes.length, `${deleted.status}`).toBeGreaterThan(0);
    }
  });
});

test('GET lists by name and by a part of it', async () => {
  const own = await api.create(`${issuerPath}/organizations`, { name: 'own' });
  const at = `${issuerPath}/organizations/${own.id}/groups`;
  for (const name of ['beta', 'Alpha', 'gamma']) await api.create(at, { name, scopes });
  const names = async (query: string) =>
    succeeded(await api.get(`${at}?${query}`)).body.data.map(({ name }: { name: string }) => name);
  expect(await names('')).toEqual(['gamma', 'Alpha', 'beta']);
  expect(await names('sort=name')).toEqual(['Alpha', 'beta', 'gamma']);
  expect(await names('search=A&sort=-name&limit=2')).toEqual(['gamma', 'beta']);
  expect(await names('search=lph')).toEqual(['Alpha']);
});

test('an organization has 500 groups at most, also when the last are made at once', async () => {
  const full = await api.create(`${issuerPath}/organizations`, { name: 'full' });
  const at = `${issuerPath}/organizations/${full.id}/groups`;
  await rows.query(
    `insert into groups (id, account_id, issuer_id, organization_id, name, name_key, scopes, scopes_bytes)
      select 'grp_filling_' || n, account_id, issuer_id, id, 'filling ' || n, 'filling ' || n, '{a:b}', 7
      from organizations, generate_series(1, 495) n where id = $1`,
    [full.id],
  );
  const answers = await atOnce(50, (index) => api.post(at, { name: `last ${index}`, scopes }));
  expect(answers.filter(({ status }) => status === 201).length).toBe(5);
  const refused = answers.filter(({ body }) => body.code === 'limit_reached');
  expect(refused.length).toBe(45);
  expect(refused[0]!.body.detail).toContain('500');
});
