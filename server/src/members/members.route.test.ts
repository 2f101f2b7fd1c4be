import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

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
const path = `${issuerPath}/organizations/${organization.id}/members`;
const groupsPath = `${issuerPath}/organizations/${organization.id}/groups`;
const readers = await api.create(groupsPath, { name: 'Readers', scopes: ['invoices:read', 'reports:read'] });
const writers = await api.create(groupsPath, { name: 'Writers', scopes: ['invoices:write'] });
const elsewhere = await api.create(`${issuerPath}/organizations`, { name: 'Elsewhere' });
const foreignGroup = await api.create(`${issuerPath}/organizations/${elsewhere.id}/groups`, {
  name: 'Readers',
  scopes: ['x:y'],
});

let users = 0;
const newUser = (members: object = {}) =>
  api.create(`${issuerPath}/users`, { username: `user-${++users}@example.com`, ...members });
const newMember = async (body: object = { scopes: ['invoices:read'] }) => {
  const user = await newUser();
  return api.create(path, { member_id: user.id, ...body });
};
const problem = (answer: { status: number; body: { code: string } }) => [answer.status, answer.body.code];
const fieldsOf = (answer: { body: { errors: { path: string; code: string }[] } }) =>
  answer.body.errors.map((error) => [error.path, error.code]);

describe('POST 201', () => {
  test('answers the member as it will be read, with its user, groups and what they come to', async () => {
    const user = await newUser({ profile: { first_name: 'Ada', last_name: 'Archer' } });
    const body = {
      member_id: user.id,
      scopes: ['a:b', 'invoices:read', 'a:b'],
      groups: [writers.id, readers.id],
    };
    const answer = await api.post(path, body);
    expect(answer.status).toBe(201);
    expect(answer.body.data).toEqual({
      member_id: user.id,
      organization_id: organization.id,
      user: {
        username_type: 'email',
        username: user.username,
        status: 'active',
        first_name: 'Ada',
        last_name: 'Archer',
        display_name: null,
      },
      scopes: ['a:b', 'invoices:read'],
      groups: [
        { id: readers.id, name: 'Readers' },
        { id: writers.id, name: 'Writers' },
      ],
      effective_scopes: ['a:b', 'invoices:read', 'invoices:write', 'reports:read'],
      created_at: expect.stringMatching(/Z$/),
      updated_at: answer.body.data.created_at,
    });
    expect(answer.headers.get('Location')).toBe(`${path}/${user.id}`);
    const read = await api.get(`${path}/${user.id}`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([
      answer.body.data,
      answer.headers.get('ETag'),
    ]);
  });

  test('takes groups in place of scopes, and keys of the issuer and of the organization itself', async () => {
    expect(await newMember({ groups: [readers.id] })).toMatchObject({
      scopes: [],
      effective_scopes: ['invoices:read', 'reports:read'],
    });
    for (const level of [issuerPath, `${issuerPath}/organizations/${organization.id}`]) {
      const own = await withScopes(api, ['gatelodge.members:write'], `${level}/api-keys`);
      const user = await newUser();
      expect((await own.post(path, { member_id: user.id, scopes: ['a:b'] })).status).toBe(201);
    }
  });

  test('is one event, which names nobody by an address', async () => {
    const user = await newUser();
    const { events } = await rows.eventsOf(() => api.create(path, { member_id: user.id, scopes: ['a:b'] }));
    expect(events).toMatchObject([
      {
        type: 'organization.membership.created',
        issuer_id: issuer.id,
        organization_id: organization.id,
        subject_type: 'member',
        subject_id: user.id,
        actor: { type: 'api_key', id: key.id },
        data: { scopes: ['a:b'], groups: [] },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain(user.username);
  });
});

describe('POST 409', () => {
  test('for who is a member already; of 50 at once one is made', async () => {
    const user = await newUser();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(path, { member_id: user.id, scopes: ['a:b'], groups: [readers.id] })),
    );
    expect(answers.filter(({ status }) => status === 201).length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'member_exists').length).toBe(49);
    expect(events.length).toBe(1);
    expect(await rows.query('select 1 from memberships where user_id = $1', [user.id])).toHaveLength(1);
  });
});

describe('POST 422', () => {
  const id = 'usr_0000000000000000000000000';
  test.each([
    [{ scopes: ['a:b'] }, 'member_id'],
    [{ member_id: id }, 'scopes'],
    [{ member_id: id, scopes: [], groups: [] }, 'scopes'],
    [{ member_id: 'key_0000000000000000000000000', scopes: ['a:b'] }, 'member_id'],
    [{ member_id: id, scopes: ['a b'] }, 'scopes[0]'],
    [{ member_id: id, scopes: 'a:b' }, 'scopes'],
    [{ member_id: id, scopes: Array.from({ length: 101 }, (_, n) => `a:b${n}`) }, 'scopes'],
    [{ member_id: id, scopes: Array.from({ length: 60 }, (_, n) => `${'a'.repeat(60)}:b${n}`) }, 'scopes'],
    [{ member_id: id, groups: ['grp_1'] }, 'groups[0]'],
    [{ member_id: id, groups: Array(51).fill(readers.id) }, 'groups'],
    [{ member_id: id, scopes: ['a:b'], organization_id: elsewhere.id }, 'organization_id'],
    // The attack: power over Gatelodge by way of a member, in whichever case something behind us may read it.
    [{ member_id: id, scopes: ['gatelodge.api-keys:write'] }, 'scopes[0]'],
    [{ member_id: id, scopes: ['a:b', 'Gatelodge.issuers:write'] }, 'scopes[1]'],
    [{ member_id: id, scopes: ['keys:verify'] }, 'scopes[0]'],
    [{ member_id: id, scopes: ['gatelodge:write'] }, 'scopes[0]'],
  ])('%j is refused at %s and changes nothing', async (body, at) => {
    const before = await rows.snapshot();
    const answer = await api.post(path, body);
    expect(problem(answer)).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(at);
    expect(await rows.snapshot()).toEqual(before);
  });

  // The attack: learn by way of a membership who the users and groups of others are.
  test('a user or a group of somebody else is as good as none', async () => {
    const other = await api.create('/v1/issuers', { name: 'other' });
    const stranger = await api.create(`/v1/issuers/${other.id}/users`, { username: 'stranger@example.com' });
    const answers = [];
    for (const member_id of [stranger.id, id])
      answers.push(await api.post(path, { member_id, scopes: ['a:b'] }));
    expect(answers.map(fieldsOf)).toEqual(Array(2).fill([['member_id', 'unknown_user']]));
    const user = await newUser();
    const body = {
      member_id: user.id,
      groups: [readers.id, foreignGroup.id, 'grp_0000000000000000000000000'],
    };
    expect(fieldsOf(await api.post(path, body))).toEqual([
      ['groups[1]', 'unknown_group'],
      ['groups[2]', 'unknown_group'],
    ]);
  });
});

describe('PATCH', () => {
  test('200: a list takes the place of the one before it; the other stays; a new ETag', async () => {
    const { member_id: id } = await newMember({ scopes: ['a:b'], groups: [readers.id] });
    const before = await api.get(`${path}/${id}`);
    const { result: answer, events } = await rows.eventsOf(() =>
      api.patch(`${path}/${id}`, { groups: [writers.id] }),
    );
    expect(answer.body.data).toMatchObject({ scopes: ['a:b'], effective_scopes: ['a:b', 'invoices:write'] });
    expect(answer.headers.get('ETag')).not.toBe(before.headers.get('ETag'));
    expect(events).toMatchObject([
      {
        type: 'organization.membership.updated',
        subject_id: id,
        data: { changed: ['groups'], scopes: ['a:b'], groups: [writers.id] },
      },
    ]);
    const read = await api.get(`${path}/${id}`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([
      answer.body.data,
      answer.headers.get('ETag'),
    ]);
    expect((await api.patch(`${path}/${id}`, { scopes: null })).body.data.scopes).toEqual([]);
    const stale = { 'If-Match': before.headers.get('ETag')! };
    expect((await api.patch(`${path}/${id}`, { scopes: ['x:y'] }, stale)).status).toBe(412);
  });

  test('200: what changes nothing is no event and leaves the ETag', async () => {
    const { member_id: id } = await newMember({ scopes: ['a:b', 'c:d'], groups: [readers.id] });
    const before = await api.get(`${path}/${id}`);
    for (const body of [{}, { scopes: ['c:d', 'a:b', 'a:b'] }, { groups: [readers.id] }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(`${path}/${id}`, body));
      expect([answer.status, events]).toEqual([200, []]);
      expect(answer.headers.get('ETag')).toBe(before.headers.get('ETag'));
    }
  });

  test('422: with nothing left, with reserved scopes, and with groups of another organization', async () => {
    const { member_id: id } = await newMember({ scopes: ['a:b'] });
    const before = await rows.snapshot();
    for (const body of [
      { scopes: [] },
      { scopes: null },
      { scopes: ['gatelodge.members:write'] },
      { groups: [foreignGroup.id] },
      { member_id: id },
    ]) {
      expect((await api.patch(`${path}/${id}`, body)).status, JSON.stringify(body)).toBe(422);
    }
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('DELETE', () => {
  test('204: of 10 at once one takes the member out; the user stays; added anew it has nothing of before', async () => {
    const { member_id: id } = await newMember({ scopes: ['a:b'], groups: [readers.id] });
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(10, () => api.delete(`${path}/${id}`)),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(9).fill(404)]);
    expect(events).toMatchObject([{ type: 'organization.membership.deleted', subject_id: id }]);
    expect((await api.get(`${issuerPath}/users/${id}`)).status).toBe(200);
    expect(await api.create(path, { member_id: id, scopes: ['x:y'] })).toMatchObject({
      groups: [],
      effective_scopes: ['x:y'],
    });
  });
});

test('404: what is of another organization, and a live one for a sandbox key', async () => {
  const { member_id: id } = await newMember();
  const other = `${issuerPath}/organizations/${elsewhere.id}/members`;
  for (const method of ['GET', 'PATCH', 'DELETE'])
    expect((await api.request(method, `${other}/${id}`, method === 'PATCH' ? { body: {} } : {})).status).toBe(
      404,
    );
  const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
  expect((await sandbox.get(`${path}/${id}`)).status).toBe(404);
  expect((await sandbox.post(path, { member_id: id, scopes: ['a:b'] })).status).toBe(404);
  succeeded(await api.get(`${path}/${id}`));
});

// Attack: the key of a tenant that may only add members learns who the users of the issuer are.
test('whoever may not read members is told nothing of their users by a change', async () => {
  const user = await newUser();
  const writer = await withScopes(
    api,
    ['gatelodge.members:write'],
    `${issuerPath}/organizations/${organization.id}/api-keys`,
  );
  const made = await writer.post(path, { member_id: user.id, scopes: ['a:b'] });
  const changed = await writer.patch(`${path}/${user.id}`, { scopes: ['c:d'] });
  expect([made.status, changed.status]).toEqual([201, 200]);
  for (const { body } of [made, changed]) {
    expect(Object.keys(body.data)).not.toContain('user');
    expect(JSON.stringify(body)).not.toContain(user.username);
  }
});
