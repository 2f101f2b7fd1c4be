import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);

/** A user with three organizations. */
async function member() {
  const { id } = await api.create(`${issuer.path}/users`, { username: `u${Math.random()}@example.com` });
  const organizations: string[] = [];
  for (const name of ['One', 'Two', 'Three']) {
    const organization = await issuer.createOrganization({ name });
    const members = `${issuer.path}/organizations/${organization.id}/members`;
    await api.create(members, { member_id: id, scopes: ['invoices:read'] });
    organizations.push(organization.id);
  }
  return { userId: id as string, organizations };
}

test('windows of one browser that go on at the same time take nothing from one another', async () => {
  const apps = await Promise.all(Array.from({ length: 20 }, () => OidcClient.create(server, issuer)));
  const { userId } = await member();
  const browser = new OidcBrowser(server);
  await apps[0]!.signIn(browser, { userId });
  const sessionsOf = () =>
    Promise.all(
      apps.map(async (app) => {
        const { id_token } = await app.signIn(browser, { userId }, { prompt: 'none' });
        return claimsOf(id_token!).sid as string;
      }),
    );
  const first = await sessionsOf();
  expect(new Set(first).size).toBe(apps.length);
  expect(await sessionsOf()).toEqual(first);
});

test('a choice of an organization is not undone by windows that go on meanwhile', async () => {
  const [picking, ...others] = await Promise.all(
    Array.from({ length: 11 }, () => OidcClient.create(server, issuer)),
  );
  let held = 0;
  for (let round = 0; round < 5; round++) {
    const { userId, organizations } = await member();
    const [, chosen] = organizations;
    const browser = new OidcBrowser(server);
    await others[0]!.signIn(browser, { userId });
    const silently = others.map((app) => app.code(browser, { userId }, { prompt: 'none' }));
    const choice = picking!.signIn(browser, { userId, organizationId: chosen! }, { prompt: 'login' });
    expect(claimsOf((await choice).id_token!).org_id).toBe(chosen);
    await Promise.all(silently);
    const later = await picking!.code(browser, { userId }, { prompt: 'none' });
    // An answer on its way may have handed the browser its cookie of before; then the user has to sign in.
    const error = later.parameters.get('error');
    if (error === 'login_required') continue;
    const { body } = await picking!.redeem(later);
    expect(claimsOf(body.id_token).org_id).toBe(chosen);
    held += 1;
  }
  expect(held).toBeGreaterThan(0);
});
