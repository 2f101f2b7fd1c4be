import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
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

test('a token of a client is refused with where it belongs, in the answer and in the log', async () => {
  const client = await OidcClient.create(server, issuer);
  const user = await api.create(`${issuer.path}/users`, { username: newAddress() });
  const { access_token: token } = await client.signIn(new OidcBrowser(server), { userId: user.id });
  const before = server.logLines.length;
  const bearer = { Authorization: `Bearer ${token}` };
  const [flat, problem] = [await nobody.get('/auth/me', bearer), await nobody.get('/v1/me', bearer)];
  expect([flat.status, flat.body.code, problem.status, problem.body.code]).toEqual([
    401,
    'INVALID_TOKEN',
    401,
    'invalid_token',
  ]);
  for (const { text } of [flat, problem]) expect(text).toContain('/{issuer_id}/userinfo');
  const lines = server.logLines.slice(before).map((line) => JSON.parse(line));
  expect(lines.find(({ route }) => route === '/auth/me')).toMatchObject({
    code: 'invalid_token',
    client_id: client.id,
    reason: expect.stringContaining('the token is of a client'),
  });
  // A forged one is told nothing, whatever it says of itself.
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const forged = `${header}.${payload}.${signature.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}`;
  expect((await nobody.get('/v1/me', { Authorization: `Bearer ${forged}` })).text).not.toContain('userinfo');
});
