import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const levels = await apiKeyLevels(api);

const meOf = async (secret: string) => {
  const answer = await api.as(null).get('/v1/me', { Authorization: `Bearer ${secret}` });
  return [answer.status, answer.body.code];
};

describe.each(levels)('a key of the $level', ({ path }) => {
  test('disabled it is refused by the very next request, enabled it is not', async () => {
    const key = await createKey(api, path);
    expect(await meOf(key.secret)).toEqual([200, undefined]);
    const disabled = await api.post(`${key.path}/disable`);
    expect([disabled.status, disabled.body.data]).toMatchObject([200, { id: key.id, status: 'disabled' }]);
    expect(await meOf(key.secret)).toEqual([401, 'disabled_key']);
    const enabled = await api.post(`${key.path}/enable`);
    expect([enabled.status, enabled.body.data.status]).toEqual([200, 'active']);
    expect(await meOf(key.secret)).toEqual([200, undefined]);
  });

  test('revoked it is dead by the very next request, and for good', async () => {
    const key = await createKey(api, path);
    expect(await meOf(key.secret)).toEqual([200, undefined]);
    const answer = await api.post(`${key.path}/revoke`);
    expect(answer.body.data).toMatchObject({ status: 'revoked', revoked_at: clock.now().toISOString() });
    expect(await meOf(key.secret)).toEqual([401, 'revoked_key']);
    for (const verb of ['enable', 'disable']) {
      const before = await rows.snapshot();
      const refused = await api.post(`${key.path}/${verb}`);
      expect([verb, refused.status, refused.body.code]).toEqual([verb, 409, 'conflict']);
      expect(await rows.snapshot()).toEqual(before);
    }
    expect(await meOf(key.secret)).toEqual([401, 'revoked_key']);
  });

  test.each([
    ['disable', [], 'api-key.disabled'],
    ['enable', ['disable'], 'api-key.enabled'],
    ['revoke', [], 'api-key.revoked'],
    ['revoke', ['disable'], 'api-key.revoked'],
  ] as const)('%s after %j, done twice, is one change and one event', async (verb, steps, type) => {
    const key = await createKey(api, path);
    for (const step of steps) succeeded(await api.post(`${key.path}/${step}`));
    const { result: first, events } = await rows.eventsOf(() => api.post(`${key.path}/${verb}`));
    expect(events).toMatchObject([
      { type, subject_type: 'api_key', subject_id: key.id, actor: { id: caller.id } },
    ]);
    clock.advance(1);
    const before = await rows.snapshot();
    const second = await api.post(`${key.path}/${verb}`);
    expect([second.status, second.text]).toEqual([200, first.text]);
    expect(second.headers.get('ETag')).toBe(first.headers.get('ETag'));
    expect(await rows.snapshot()).toEqual(before);
  });

  test('enabling one that is active changes nothing', async () => {
    const key = await createKey(api, path);
    const before = await rows.snapshot();
    expect((await api.post(`${key.path}/enable`)).body.data.status).toBe('active');
    expect(await rows.snapshot()).toEqual(before);
  });
});

test('50 at once revoke it once', async () => {
  const key = await createKey(api, '/v1/api-keys');
  const { result: answers, events } = await rows.eventsOf(() =>
    atOnce(50, () => api.post(`${key.path}/revoke`)),
  );
  expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
  expect(events.length).toBe(1);
});

test('whatever else is asked at the same moment, revoked is what it stays', async () => {
  const key = await createKey(api, '/v1/api-keys');
  const answers = await Promise.all(
    ['disable', 'enable', 'revoke', 'enable', 'disable', 'enable'].map((verb) =>
      api.post(`${key.path}/${verb}`),
    ),
  );
  expect(answers[2]!.status).toBe(200);
  for (const { status } of answers) expect([200, 409]).toContain(status);
  expect((await api.get(key.path)).body.data.status).toBe('revoked');
  expect(await meOf(key.secret)).toEqual([401, 'revoked_key']);
});

test('enabling does not bring back what has expired', async () => {
  const key = await createKey(api, '/v1/api-keys', {
    expires_at: new Date(clock.nowMs() + 5000).toISOString(),
  });
  succeeded(await api.post(`${key.path}/disable`));
  clock.advance(6);
  expect((await api.post(`${key.path}/enable`)).body.data.status).toBe('expired');
  expect(await meOf(key.secret)).toEqual([401, 'expired_key']);
});

test('a key may revoke itself, and then knows it', async () => {
  const key = await createKey(api, '/v1/api-keys');
  expect((await api.as(key).post(`${key.path}/revoke`)).status).toBe(200);
  expect((await api.as(key).post(`${key.path}/revoke`)).status).toBe(401);
});
