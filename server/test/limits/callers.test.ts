import { afterAll, beforeAll, expect, test } from 'vitest';
import { createCustomer } from '../harness/customer.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { createKey, TestIssuer } from '../harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ clock });
});
afterAll(() => server.close());

test('a key that verifies others is used, and not counted for it', async () => {
  const { api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
  const subject = await issuer.createKey();
  clock.advance(100);
  await api.as(caller).post('/v1/keys/verify', { key: subject.secret });
  // Read by the account's key, since whoever reads usage makes everything known.
  await api.get('/v1/usage');
  const { data } = (await api.get(caller.path)).body;
  expect(data.last_used_at).toBe(clock.now().toISOString());
  expect((await api.get(`${caller.path}/usage`)).body.data).toEqual([]);
});

test('calls of the management API stand apart, those that are turned away too', async () => {
  const { api } = await createCustomer(server);
  const key = await createKey(api, '/v1/api-keys');
  await api.as(key).get('/v1/issuers');
  await api.as(key).get('/v1/issuers');
  await api.post(`${key.path}/disable`);
  expect((await api.as(key).get('/v1/issuers')).status).toBe(401);
  const { data } = (await api.get(`${key.path}/usage`)).body;
  expect(data).toMatchObject([{ total: 0, valid: 0, refused: 0, management: 3 }]);
});
