import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);

/** A user with memberships in so many organizations. */
async function member(count: number) {
  const user = await api.create(`${issuer.path}/users`, { username: `u${Math.random()}@example.com` });
  const organizations: { id: string; name: string }[] = [];
  for (let at = 0; at < count; at++) {
    const organization = await issuer.createOrganization({ name: `Tenant number ${at}` });
    await api.create(`${issuer.path}/organizations/${organization.id}/members`, {
      member_id: user.id,
      scopes: ['invoices:read', 'invoices:write'],
    });
    organizations.push(organization);
  }
  return { userId: user.id as string, organizations };
}

describe('org=', () => {
  test('narrows both tokens to one organization, also when they are refreshed', async () => {
    const { userId, organizations } = await member(2);
    const [, chosen] = organizations;
    const tokens = await client.signIn(new OidcBrowser(server), { userId }, { org: chosen!.id });
    const { body: refreshed } = await client.refresh(tokens.refresh_token!);
    for (const token of [tokens.access_token, tokens.id_token!, refreshed.access_token, refreshed.id_token])
      expect(claimsOf(token)).toMatchObject({
        org_id: chosen!.id,
        organizations: [
          { org_id: chosen!.id, name: chosen!.name, scopes: ['invoices:read', 'invoices:write'] },
        ],
      });
    const { body } = await client.userinfo(refreshed.access_token);
    expect([body.org_id, body.organizations.length]).toEqual([chosen!.id, 1]);
  });

  test('of an organization that the user is no active member of is refused', async () => {
    const { userId, organizations } = await member(2);
    const stranger = await issuer.createOrganization();
    const [first, second] = organizations;
    succeeded(await api.post(`${issuer.path}/organizations/${second!.id}/suspend`));
    const errorOf = async (org: string) =>
      (await client.code(new OidcBrowser(server), { userId }, { org })).parameters.get('error');
    for (const org of [stranger.id, second!.id, `org_${'0'.repeat(25)}`])
      expect(await errorOf(org)).toBe('access_denied');
    for (const org of ['org_x', '*', first!.id.toUpperCase()])
      expect(await errorOf(org)).toBe('invalid_request');
    expect(await errorOf(first!.id)).toBeNull();
  });

  // A token is for what its user may do now, not for what it might do when it signed in.
  test('a membership that ends takes the next refresh along', async () => {
    const { userId, organizations } = await member(1);
    const { id } = organizations[0]!;
    const tokens = await client.signIn(new OidcBrowser(server), { userId }, { org: id });
    succeeded(await api.delete(`${issuer.path}/organizations/${id}/members/${userId}`));
    expect((await client.userinfo(tokens.access_token)).status).toBe(401);
    expect(await client.isActive(tokens.access_token)).toBe(false);
    expect((await client.refresh(tokens.refresh_token!)).body.error).toBe('invalid_grant');
  });
});

describe('the picker', () => {
  test('comes after signing in, where there are several, and its choice is kept', async () => {
    const { userId, organizations } = await member(2);
    const steps: string[] = [];
    const onStep = ({ step }: { step: string }) => steps.push(step);
    const browser = new OidcBrowser(server);
    const picked = await client.signIn(browser, { userId, onStep, organizationId: organizations[1]!.id });
    expect(steps).toEqual(['login', 'organization']);
    expect(claimsOf(picked.access_token).org_id).toBe(organizations[1]!.id);
    const again = await client.signIn(browser, { userId }, { prompt: 'none' });
    expect(claimsOf(again.access_token).organizations).toHaveLength(2);
    const all = await client.signIn(new OidcBrowser(server), { userId, organizationId: null });
    expect(claimsOf(all.access_token).organizations).toHaveLength(2);
    expect(claimsOf(all.access_token).org_id).toBeUndefined();
  });

  test('takes no organization that is not the user’s', async () => {
    const { userId } = await member(2);
    const stranger = await issuer.createOrganization();
    const { parameters } = await client.code(new OidcBrowser(server), {
      userId,
      organizationId: stranger.id,
    });
    expect(parameters.get('error')).toBe('access_denied');
  });

  test('does not come where there is one, nor where the issuer does not want it', async () => {
    const one = await member(1);
    const steps: string[] = [];
    const onStep = ({ step }: { step: string }) => steps.push(step);
    await client.signIn(new OidcBrowser(server), { userId: one.userId, onStep });
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { organization_picker: false }));
    const two = await member(2);
    await client.signIn(new OidcBrowser(server), { userId: two.userId, onStep });
    expect(steps).toEqual(['login', 'login']);
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { organization_picker: null }));
  });
});

test('organization_scopes of a client let no others through', async () => {
  const { userId } = await member(1);
  const reader = await OidcClient.create(server, issuer, {
    settings: { organization_scopes: ['invoices:read'] },
  });
  const tokens = await reader.signIn(new OidcBrowser(server), { userId });
  for (const { organizations } of [
    claimsOf(tokens.access_token),
    claimsOf(tokens.id_token!),
    (await reader.userinfo(tokens.access_token)).body,
    (await reader.post('/introspect', { token: tokens.access_token })).body,
  ])
    expect(organizations[0].scopes).toEqual(['invoices:read']);
});

test('500 organizations: tokens stay short and name what finds room, userinfo tells all', async () => {
  const { userId } = await member(0);
  const { database } = server.running.services;
  const { id: accountId } = (await api.get('/v1/account')).body.data;
  await database.withAccount(accountId, async (tx) => {
    const organizations = Array.from({ length: 500 }, () => ({
      id: newId(idPrefixes.organization),
      account_id: accountId,
      issuer_id: issuer.id,
      name: 'One of many',
      external_id: null,
      plan: null,
    }));
    await tx.insertInto('organizations').values(organizations).execute();
    await tx
      .insertInto('memberships')
      .values(
        organizations.map(({ id }) => ({
          id: newId(idPrefixes.member),
          account_id: accountId,
          issuer_id: issuer.id,
          organization_id: id,
          user_id: userId,
          scopes: ['invoices:read'],
          scopes_bytes: 13,
        })),
      )
      .execute();
  });

  const tokens = await client.signIn(new OidcBrowser(server), { userId, organizationId: null });
  for (const token of [tokens.access_token, tokens.id_token!]) {
    expect(token.length).toBeLessThan(8_192);
    const { organizations, organizations_omitted: omitted } = claimsOf(token);
    expect(organizations.length + omitted).toBe(500);
    expect(organizations[0]).toEqual({ org_id: expect.any(String) });
  }
  const { body } = await client.userinfo(tokens.access_token);
  expect(body.organizations).toHaveLength(500);
  expect(body.organizations[0]).toMatchObject({ name: 'One of many', scopes: ['invoices:read'] });
});
