import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/users`;

describe('201', () => {
  test('answers the user as it is read, with defaults, a Location and an ETag', async () => {
    const answer = await api.post(path, { username: 'Plain@Example.COM' });
    const { id } = answer.body.data;
    expect(answer.status).toBe(201);
    expect(answer.body.data).toEqual({
      id: expect.stringMatching(/^usr_[0-9a-z]{25}$/),
      issuer_id: issuer.id,
      username_type: 'email',
      username: 'Plain@example.com',
      profile: {},
      metadata: {},
      status: 'active',
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect(answer.headers.get('Location')).toBe(`${path}/${id}`);
    const read = await api.get(`${path}/${id}`);
    expect([read.status, read.text]).toEqual([200, answer.text]);
    expect(read.headers.get('ETag')).toBe(answer.headers.get('ETag'));
  });

  test.each([
    [{ username_type: 'email', username: 'full@example.com' }],
    [{ username_type: 'unique-name', username: 'Full_Name' }],
    [{ username_type: 'phone', username: '+49301234567' }],
  ])('keeps %j with profile and metadata', async (name) => {
    const rest = {
      profile: { first_name: 'Ada', last_name: 'Lovelace', locale: 'en-GB', favourite: { colour: 'blue' } },
      metadata: { tier: 'gold' },
    };
    expect(await api.create(path, { ...name, ...rest })).toMatchObject({ ...name, ...rest });
  });

  test('is one event, which tells no address', async () => {
    const { result: user, events } = await rows.eventsOf(() =>
      api.create(path, { username: 'told@example.com', profile: { first_name: 'Told' } }),
    );
    expect(events).toMatchObject([
      {
        type: 'user.created',
        issuer_id: issuer.id,
        subject_type: 'user',
        subject_id: user.id,
        actor: { id: key.id },
        data: { username_type: 'email' },
      },
    ]);
    expect(JSON.stringify(events)).not.toMatch(/told/i);
  });

  test('the same name in another issuer, in the sandbox twin and of another type is another user', async () => {
    const name = { username_type: 'unique-name', username: 'everywhere' };
    const other = await TestIssuer.create(server, {}, {}, api);
    const twin = await api.create(`${issuer.path}/sandbox-issuer`);
    const made = [
      await api.create(path, name),
      await api.create(`${other.path}/users`, name),
      await api.create(`/v1/issuers/${twin.id}/users`, name),
    ];
    expect(new Set(made.map(({ id }) => id)).size).toBe(3);
  });

  test('replays its answer under its Idempotency-Key', async () => {
    const header = { 'Idempotency-Key': 'user-1' };
    const first = await api.post(path, { username: 'once@example.com' }, header);
    const second = await api.post(path, { username: 'once@example.com' }, header);
    expect([second.status, second.text]).toEqual([201, first.text]);
  });
});

describe('404', () => {
  test('under a live issuer for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.post(path, { username: 'x@example.com' })).status).toBe(404);
    expect((await sandbox.get(path)).status).toBe(404);
  });
});

describe('409', () => {
  test.each([
    ['email', 'taken@example.com', 'TAKEN@Example.com'],
    ['unique-name', 'Taken', 'tAKEN'],
    ['phone', '+4930999999', '0049 30 99 99 99'],
  ])('username_taken: %s %s in the spelling %s', async (username_type, username, again) => {
    succeeded(await api.post(path, { username_type, username }));
    const answer = await api.post(path, { username_type, username: again });
    expect([answer.status, answer.body.code]).toEqual([409, 'username_taken']);
    expect(server.logLines.join('')).not.toMatch(/taken@/i);
  });

  test('of 50 at once with one username one is made', async () => {
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) =>
        api.post(path, { username: index % 2 ? 'race@example.com' : 'Race@example.com' }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(49).fill(409)]);
    expect(events.length).toBe(1);
  });
});

describe('422', () => {
  test.each<[Record<string, unknown>, string]>([
    [{}, 'username'],
    [{ username: 'no address' }, 'username'],
    [{ username_type: 'phone', username: '12' }, 'username'],
    [{ username_type: 'unique-name', username: 'a@b' }, 'username'],
    [{ username_type: 'name', username: 'x' }, 'username_type'],
    [{ username: 'x@example.com', status: 'suspended' }, 'status'],
    [{ username: 'x@example.com', profile: { first_name: 1 } }, 'profile.first_name'],
    [{ username: 'x@example.com', profile: { first_name: 'a\u0000' } }, 'profile.first_name'],
  ])('%j names %s', async (body, field) => {
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, field]);
  });
});

describe('422 for what is too large', () => {
  test.each(['profile', 'metadata'])('%s', async (member) => {
    const body = { username: 'x@example.com', [member]: { huge: 'x'.repeat(9000) } };
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, member]);
  });
});

describe('403', () => {
  test('for a key of an organization, which has no part in users, and for one that may only read', async () => {
    const organization = await issuer.createOrganization();
    const scopes = ['gatelodge.users:read', 'gatelodge.users:write'];
    for (const caller of [
      await withScopes(api, scopes, `${issuer.path}/organizations/${organization.id}/api-keys`),
      await withScopes(api, scopes.slice(0, 1), `${issuer.path}/api-keys`),
    ])
      expect((await caller.post(path, { username: 'x@example.com' })).status).toBe(403);
    const own = await withScopes(api, scopes, `${issuer.path}/api-keys`);
    expect((await own.post(path, { username: 'of-issuer@example.com' })).status).toBe(201);
  });
});
