import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { ApiAnswer } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, type Tokens } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const asking = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });

let client: OidcClient;
let clientPath: string;
let organizationPath: string;
let tokens: Tokens;
beforeEach(async () => {
  client = await OidcClient.create(server, issuer);
  clientPath = `${issuer.path}/clients/${client.id}`;
  const organization = await issuer.createOrganization();
  organizationPath = `${issuer.path}/organizations/${organization.id}`;
  await api.create(`${organizationPath}/members`, { member_id: user.id, scopes: ['invoices:read'] });
  tokens = await client.signIn(new OidcBrowser(server), { userId: user.id }, { org: organization.id });
});

// Whoever asks whether a token counts goes by the answer.
describe('a refresh token that nothing is given out for is not active', () => {
  const changes: [string, () => Promise<ApiAnswer>][] = [
    ['its organization is suspended', () => api.post(`${organizationPath}/suspend`)],
    ['its organization is deleted', () => api.delete(organizationPath)],
    ['its user has left the organization', () => api.delete(`${organizationPath}/members/${user.id}`)],
    [
      'its client may not refresh any more',
      () => api.patch(clientPath, { settings: { openid: { grant_types: ['authorization_code'] } } }),
    ],
    ['its user was never asked, and now has to be', () => api.patch(clientPath, { type: 'external' })],
  ];
  test.each(changes)('%s', async (_, change) => {
    expect(await asking.isActive(tokens.refresh_token!)).toBe(true);
    succeeded(await change());
    expect(await asking.isActive(tokens.refresh_token!)).toBe(false);
    expect((await client.refresh(tokens.refresh_token!)).status).toBe(400);
  });

  test('its grant is gone', async () => {
    const [grant] = await rows.query(
      `delete from oidc_records where model = 'Grant' and digest in (select g.digest from oidc_records g
         where g.model = 'Grant' and g.user_id = $1 order by g.created_at desc limit 1) returning digest`,
      [user.id],
    );
    expect(grant).toBeDefined();
    expect(await asking.isActive(tokens.refresh_token!)).toBe(false);
    expect((await client.refresh(tokens.refresh_token!)).status).toBe(400);
  });

  test('its resource is none of the client’s any more', async () => {
    const resource = 'https://api.example/';
    const openid = { resource_indicators: [resource] };
    succeeded(await api.patch(clientPath, { settings: { openid } }));
    const own = await client.signIn(new OidcBrowser(server), { userId: user.id }, { resource });
    expect(await asking.isActive(own.refresh_token!)).toBe(true);
    succeeded(await api.patch(clientPath, { settings: { openid: { resource_indicators: [] } } }));
    expect(await asking.isActive(own.refresh_token!)).toBe(false);
    expect((await client.refresh(own.refresh_token!)).body.error).toBe('invalid_target');
  });

  test('its session has expired', async () => {
    await rows.query(`update sessions set expires_at = now() where id = $1`, [
      claimsOf(tokens.access_token).sid,
    ]);
    expect(await asking.isActive(tokens.refresh_token!)).toBe(false);
    expect((await client.refresh(tokens.refresh_token!)).status).toBe(400);
  });
});
