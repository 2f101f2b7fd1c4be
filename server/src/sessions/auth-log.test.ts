import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { newAddress } from '../../test/harness/otp-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const nobody = server.operator.api.as(null);

test('each request for codes and sessions has its line in the log, a refused one with its code', async () => {
  const before = server.logLines.length;
  const address = newAddress();
  await nobody.post(`/${issuer.id}/auth/request-otp`, { username: address });
  await nobody.post('/auth/refresh', { refresh_token: 'made-up' });
  await nobody.get(`/${issuer.id}/auth/me`);
  const lines = server.logLines.slice(before).map((line) => JSON.parse(line));
  const told = lines.filter(({ message }) => message === 'request');
  expect(
    told.map(({ method, route, status, code, issuer_id: id }) => [method, route, status, code, id]),
  ).toEqual([
    ['POST', '/auth/request-otp', 401, 'missing_key', issuer.id],
    ['POST', '/auth/refresh', 401, 'invalid_token', undefined],
    ['GET', '/auth/me', 401, 'invalid_token', issuer.id],
  ]);
  expect(told.every(({ request_id: id }) => id.startsWith('req_'))).toBe(true);
  for (const secret of [address, 'made-up'])
    expect(server.logLines.slice(before).join('\n')).not.toContain(secret);
});
