import { afterAll, expect, test } from 'vitest';
import { createCustomer } from './harness/customer.ts';
import { createTestDatabase } from './harness/database.ts';
import { OidcBrowser } from './harness/oidc-browser.ts';
import { claimsOf, OidcClient } from './harness/oidc-client.ts';
import { SignIn } from './harness/otp-client.ts';
import { startTestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const database = await createTestDatabase();
afterAll(() => database.drop());

// Whoever has stolen a refresh token that has been used since waits for the server to forget that.
test('a used refresh token ends its family after the server was stopped and started', async () => {
  const first = await startTestServer({ database });
  const { api, key } = await createCustomer(first);
  const issuer = await TestIssuer.create(first, {}, {}, api);
  const client = await OidcClient.create(first, issuer);
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const stolen = await client.signIn(new OidcBrowser(first), { userId: user.id });
  const { body: own } = await client.refresh(stolen.refresh_token!);
  const untouched = await client.signIn(new OidcBrowser(first), { userId: user.id });
  const code = await client.code(new OidcBrowser(first), { userId: user.id });
  const { body: redeemed } = await client.redeem(code);
  const app = SignIn.withKey(first, await issuer.createKey());
  const mailed = await app.signIn('eve@example.com');
  const { body: mailedNext } = await app.post('refresh', { refresh_token: mailed.refresh_token });
  await first.running.close({ lingerMs: 0 });

  const second = await startTestServer({ nodeOf: first });
  try {
    const after = client.at(second);
    const reused = await after.refresh(stolen.refresh_token!);
    expect([reused.status, reused.body.error]).toEqual([400, 'invalid_grant']);
    expect((await after.refresh(own.refresh_token)).body.error).toBe('invalid_grant');
    expect((await after.userinfo(own.access_token)).status).toBe(401);
    const path = `${issuer.path}/sessions/${claimsOf(own.access_token).sid}`;
    const { body } = await second.operator.api.as(key).get(path);
    expect(body.data.end_reason).toBe('refresh_reuse');
    expect((await after.redeem(code)).body.error).toBe('invalid_grant');
    expect((await after.refresh(redeemed.refresh_token)).body.error).toBe('invalid_grant');
    expect((await after.refresh(untouched.refresh_token!)).status).toBe(200);
    const later = new SignIn(second, { headers: {} });
    for (const token of [mailed.refresh_token, mailedNext.refresh_token])
      expect((await later.post('refresh', { refresh_token: token })).status).toBe(401);
  } finally {
    await second.close();
  }
});
