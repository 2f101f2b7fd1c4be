import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const path = `${issuer.path}/sessions`;

let made = 0;
const newUser = async () =>
  (await api.create(`${issuer.path}/users`, { username: `user-${++made}@example.com` })).id as string;
const newSession = async (userId: string) => (await signIn(server, issuer.id, userId)).session_id;
const idsAt = async (at: string) =>
  succeeded(await api.get(at)).body.data.map(({ id }: { id: string }) => id) as string[];

describe('GET', () => {
  test('200: a session as it stands, with an ETag that a refresh leaves alone', async () => {
    const userId = await newUser();
    const { session_id: id, refresh_token } = await signIn(server, issuer.id, userId);
    const answer = await api.get(`${path}/${id}`);
    const createdAt = clock.now().toISOString();
    expect([answer.status, answer.body.data]).toEqual([
      200,
      {
        id,
        issuer_id: issuer.id,
        user_id: userId,
        client_id: 'otp',
        amr: ['otp'],
        status: 'active',
        end_reason: null,
        ip: '203.0.113.7',
        user_agent: 'tests/1.0',
        created_at: createdAt,
        last_used_at: createdAt,
        expires_at: new Date(clock.nowMs() + 30 * 86_400_000).toISOString(),
        ended_at: null,
      },
    ]);
    clock.advance(60);
    succeeded(await api.as(null).post('/auth/refresh', { refresh_token }));
    const refreshed = await api.get(`${path}/${id}`);
    expect(refreshed.headers.get('ETag')).toBe(answer.headers.get('ETag'));
    expect(refreshed.body.data.last_used_at).toBe(clock.now().toISOString());
  });

  test('200: lists those of the issuer, of a user, by status and page by page, and of no other issuer', async () => {
    const [one, two] = [await newUser(), await newUser()];
    const first = await newSession(one);
    const second = await newSession(two);
    const third = await newSession(one);
    succeeded(await api.post(`${path}/${first}/revoke`));
    expect((await idsAt(path)).slice(0, 3)).toEqual([third, second, first]);
    expect(await idsAt(`${path}?user_id=${one}`)).toEqual([third, first]);
    expect(await idsAt(`${path}?user_id=${one}&status=active`)).toEqual([third]);
    expect(await idsAt(`${path}?user_id=${one}&status=ended`)).toEqual([first]);
    expect(await idsAt(`${issuer.path}/users/${one}/sessions`)).toEqual([third, first]);
    expect(await idsAt(`${issuer.path}/users/${one}/sessions?status=active`)).toEqual([third]);
    const page = (await api.get(`${path}?limit=1&user_id=${one}`)).body;
    expect(await idsAt(`${path}?limit=1&user_id=${one}&cursor=${page.next_cursor}`)).toEqual([first]);
    const other = await TestIssuer.create(server, {}, {}, api);
    expect(await idsAt(`${other.path}/sessions`)).toEqual([]);
    for (const at of [`${other.path}/sessions/${third}`, `${other.path}/users/${one}/sessions`])
      expect((await api.get(at)).status).toBe(404);
    expect(await idsAt(`${other.path}/sessions?user_id=${one}`)).toEqual([]);
  });

  test('an expired one says so, and is listed among those that are over', async () => {
    const userId = await newUser();
    const id = await newSession(userId);
    clock.advance(31 * 86_400);
    expect((await api.get(`${path}/${id}`)).body.data.status).toBe('expired');
    expect(await idsAt(`${path}?user_id=${userId}&status=ended`)).toEqual([id]);
    expect(await idsAt(`${path}?user_id=${userId}&status=active`)).toEqual([]);
    const { result, events } = await rows.eventsOf(() => api.post(`${path}/${id}/revoke`));
    expect([result.status, result.body.data.status, events]).toEqual([200, 'expired', []]);
  });

  test('404 under a live issuer for a sandbox key, 422 for a filter that is none', async () => {
    const id = await newSession(await newUser());
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    for (const at of [path, `${path}/${id}`]) expect((await sandbox.get(at)).status).toBe(404);
    for (const query of ['user_id=x', 'status=gone'])
      expect((await api.get(`${path}?${query}`)).status).toBe(422);
  });
});

describe('POST …/revoke', () => {
  test('ends one session, once, with an event, and leaves the user’s others', async () => {
    const userId = await newUser();
    const [one, other] = [await newSession(userId), await newSession(userId)];
    const { result: first, events } = await rows.eventsOf(() => api.post(`${path}/${one}/revoke`));
    expect(first.body.data).toMatchObject({
      id: one,
      status: 'ended',
      end_reason: 'revoked',
      ended_at: clock.now().toISOString(),
    });
    expect(events).toMatchObject([
      {
        type: 'session.terminated',
        issuer_id: issuer.id,
        subject_id: one,
        actor: { id: key.id },
        data: { reason: 'revoked', user_id: userId },
      },
    ]);
    const { result: second, events: none } = await rows.eventsOf(() => api.post(`${path}/${one}/revoke`));
    expect([second.status, second.text, none]).toEqual([200, first.text, []]);
    expect((await api.get(`${path}/${other}`)).body.data.status).toBe('active');
  });

  test('ends every session of a user, with an event each, and nobody else’s', async () => {
    const [one, other] = [await newUser(), await newUser()];
    const ended = [await newSession(one), await newSession(one), await newSession(one)];
    const left = await newSession(other);
    const at = `${issuer.path}/users/${one}/sessions/revoke`;
    const { result: answer, events } = await rows.eventsOf(() => api.post(at));
    expect([answer.status, answer.body]).toEqual([200, { data: { revoked: 3 } }]);
    expect(events.map(({ type, subject_id }) => [type, subject_id]).sort()).toEqual(
      ended.map((id) => ['session.terminated', id]).sort(),
    );
    expect((await api.post(at)).body).toEqual({ data: { revoked: 0 } });
    expect((await api.get(`${path}/${left}`)).body.data.status).toBe('active');
  });

  test('403 for who may only read', async () => {
    const id = await newSession(await newUser());
    const reader = await withScopes(api, ['gatelodge.sessions:read'], `${issuer.path}/api-keys`);
    expect((await reader.get(`${path}/${id}`)).status).toBe(200);
    expect((await reader.post(`${path}/${id}/revoke`)).status).toBe(403);
  });
});
