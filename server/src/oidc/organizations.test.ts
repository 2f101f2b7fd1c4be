import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { LoadedInteraction } from './interactions.ts';

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
    expect(claimsOf(again.access_token).org_id).toBe(organizations[1]!.id);
    const all = await client.signIn(new OidcBrowser(server), { userId, organizationId: null });
    expect(claimsOf(all.access_token).organizations).toHaveLength(2);
    expect(claimsOf(all.access_token).org_id).toBeUndefined();
  });

  // What a user has picked for a client, the client could widen by asking again behind the user's back.
  test.each(['first_party', 'external'])(
    'its choice holds for a client (%s) until the next',
    async (type) => {
      const app = await OidcClient.create(server, issuer, {
        type,
        settings: { organization_scopes: ['invoices:read'] },
      });
      const { userId, organizations } = await member(3);
      const [one, other] = organizations.map(({ id }) => id);
      const browser = new OidcBrowser(server);
      const orgOf = async (organizationId: string | null, parameters: Record<string, string> = {}) =>
        claimsOf((await app.signIn(browser, { userId, organizationId }, parameters)).access_token).org_id;
      expect(await orgOf(one!)).toBe(one);
      expect(await orgOf(null, { prompt: 'none' })).toBe(one);
      expect(await orgOf(null)).toBe(one);
      // Another client of the same login has been told nothing.
      const { access_token: others } = await client.signIn(browser, { userId });
      expect(claimsOf(others).org_id).toBeUndefined();
      // The client's wish is for that request alone.
      expect(await orgOf(null, { org: other! })).toBe(other);
      expect(await orgOf(null, { prompt: 'none' })).toBe(one);
      expect(await orgOf(other!, { prompt: 'login' })).toBe(other);
      expect(await orgOf(null, { prompt: 'none' })).toBe(other);
      expect(await orgOf(null, { prompt: 'login' })).toBeUndefined();
      expect(await orgOf(null, { prompt: 'none' })).toBeUndefined();
    },
  );

  test('its choice outlives the session of the client, which the client can end itself', async () => {
    const app = await OidcClient.create(server, issuer, { type: 'external' });
    const { userId, organizations } = await member(2);
    const { id } = organizations[0]!;
    const browser = new OidcBrowser(server);
    const tokens = await app.signIn(browser, { userId, organizationId: id });
    await app.post('/revoke', { token: tokens.refresh_token! });
    const again = await app.signIn(browser, { userId }, { prompt: 'none' });
    expect(claimsOf(again.access_token)).toMatchObject({ org_id: id, sid: expect.any(String) });
    expect(claimsOf(again.access_token).sid).not.toBe(claimsOf(tokens.access_token).sid);
  });

  test('comes again where the choice is none of the user’s any more', async () => {
    const { userId, organizations } = await member(3);
    const [left, suspended, last] = organizations.map(({ id }) => id);
    const browser = new OidcBrowser(server);
    const steps: string[] = [];
    const onStep = ({ step }: { step: string }) => steps.push(step);
    await client.signIn(browser, { userId, organizationId: left! });
    succeeded(await api.delete(`${issuer.path}/organizations/${left}/members/${userId}`));
    const silent = await client.code(browser, { userId }, { prompt: 'none' });
    expect(silent.parameters.get('error')).toBe('interaction_required');
    await client.signIn(browser, { userId, organizationId: suspended!, onStep });
    expect(steps).toEqual(['organization']);
    // Also where there is only one left that it could be.
    succeeded(await api.post(`${issuer.path}/organizations/${suspended}/suspend`));
    const one = await client.signIn(browser, { userId, organizationId: last!, onStep });
    expect([steps.length, claimsOf(one.access_token).org_id]).toEqual([2, last]);
    // With none left the user signs in anew: tokens for none would be for all of them later.
    succeeded(await api.delete(`${issuer.path}/organizations/${last}/members/${userId}`));
    const none = await client.code(browser, { userId }, { prompt: 'none' });
    expect(none.parameters.get('error')).toBe('login_required');
    const anew = await client.signIn(browser, { userId, onStep });
    expect([steps.slice(2), claimsOf(anew.access_token).organizations]).toEqual([['login'], []]);
  });

  // Attack: ask twice, where the first time has put the picker up.
  test('is not gone around by asking again, also where there is one left', async () => {
    const { userId, organizations } = await member(2);
    const [picked, left] = organizations.map(({ id }) => id);
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId, organizationId: picked! });
    succeeded(await api.delete(`${issuer.path}/organizations/${picked}/members/${userId}`));
    for (let times = 0; times < 3; times++) {
      const { parameters } = await client.code(browser, { userId }, { prompt: 'none' });
      expect(parameters.get('error')).toBe('interaction_required');
    }
    const steps: string[] = [];
    const onStep = ({ step }: { step: string }) => steps.push(step);
    const { access_token: token } = await client.signIn(browser, { userId, organizationId: left!, onStep });
    expect([steps, claimsOf(token).org_id]).toEqual([['organization'], left]);
    // Whoever signs in anew and has one goes on with that.
    await client.signIn(browser, { userId, onStep }, { prompt: 'login' });
    expect(steps).toEqual(['organization', 'login']);
  });

  // Attack: the client asks again behind the picker that its user is looking at, or after the user has left it.
  test('is not gone around while it waits, and comes again until the user has picked', async () => {
    const { userId, organizations } = await member(3);
    const { id } = organizations[1]!;
    const browser = new OidcBrowser(server);
    const errors: (string | null)[] = [];
    const left = client.signIn(browser, {
      userId,
      onStep: async ({ step }) => {
        if (step !== 'organization') return;
        const behind = await client.code(browser, { userId }, { prompt: 'none' });
        errors.push(behind.parameters.get('error'));
        throw new Error('left');
      },
    });
    await expect(left).rejects.toThrow('left');
    expect(errors).toEqual(['interaction_required']);
    const steps: string[] = [];
    const onStep = ({ step }: { step: string }) => steps.push(step);
    const picked = await client.signIn(browser, { userId, organizationId: id, onStep });
    expect([steps, claimsOf(picked.access_token).org_id]).toEqual([['organization'], id]);
    const again = await client.signIn(browser, { userId }, { prompt: 'none' });
    expect(claimsOf(again.access_token).org_id).toBe(id);
  });

  // Attack: tokens that are for no organization while all are suspended are for all of them once they are back.
  test('holds while what was picked is suspended with all others, and once it is back', async () => {
    const { userId, organizations } = await member(2);
    const browser = new OidcBrowser(server);
    const { id } = organizations[0]!;
    await client.signIn(browser, { userId, organizationId: id });
    const paths = organizations.map(({ id }) => `${issuer.path}/organizations/${id}`);
    for (const path of paths) succeeded(await api.post(`${path}/suspend`));
    const none = await client.code(browser, { userId }, { prompt: 'none' });
    expect(none.parameters.get('error')).toBe('login_required');
    for (const path of paths) succeeded(await api.post(`${path}/activate`));
    const back = await client.signIn(browser, { userId }, { prompt: 'none' });
    expect(claimsOf(back.access_token).org_id).toBe(id);
  });

  test('of two tabs that pick at the same time each is sent on, or told by a page that the other was', async () => {
    const { userId, organizations } = await member(2);
    const { id } = organizations[0]!;
    const apps = await Promise.all([1, 2].map(() => OidcClient.create(server, issuer)));
    const before = server.logLines.length;
    for (let round = 0; round < 5; round++) {
      const browser = new OidcBrowser(server);
      const answers = await Promise.all(
        apps.map((app) =>
          app.code(browser, { userId, organizationId: id }).catch((error: Error) => {
            // The other one went on in its place, and its page says so.
            expect(error.message).toContain('400 <!doctype html>');
            return null;
          }),
        ),
      );
      expect(answers.some((answer) => answer !== null && answer.code !== '')).toBe(true);
    }
    const failed = server.logLines.slice(before).filter((line) => line.includes('request failed'));
    expect(failed).toEqual([]);
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

test('what was picked is held to no more than until the next sign-in, once there is no picker', async () => {
  const own = await TestIssuer.create(server, {}, {}, api);
  const app = await OidcClient.create(server, own);
  const user = await api.create(`${own.path}/users`, { username: 'ada@example.com' });
  const ids: string[] = [];
  for (const name of ['One', 'Two', 'Three']) {
    const { id } = await own.createOrganization({ name });
    ids.push(id);
    const members = `${own.path}/organizations/${id}/members`;
    await api.create(members, { member_id: user.id, scopes: ['invoices:read'] });
  }
  const browser = new OidcBrowser(server);
  const orgOf = async (parameters: Record<string, string>) =>
    claimsOf(
      (await app.signIn(browser, { userId: user.id, organizationId: ids[0]! }, parameters)).access_token,
    ).org_id;
  expect(await orgOf({})).toBe(ids[0]);
  succeeded(await api.patch(`${own.path}/oidc-settings`, { organization_picker: false }));
  expect(await orgOf({ prompt: 'none' })).toBe(ids[0]);
  expect(await orgOf({ prompt: 'login' })).toBeUndefined();
  expect(await orgOf({ prompt: 'none' })).toBeUndefined();
});

// Attack: the page of consent names one organization, and the client asks for the others once it has been allowed.
describe('an external client that was allowed for one organization', () => {
  const external = () => OidcClient.create(server, issuer, { type: 'external' });

  test('gets tokens for no other before it has asked the user', async () => {
    const app = await external();
    const { userId, organizations } = await member(3);
    const [one, other] = organizations.map(({ id }) => id);
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId, organizationId: one! });
    const consents: unknown[] = [];
    const onStep = ({ step, asked }: LoadedInteraction) =>
      step === 'consent' && consents.push(asked.organizations);
    const signIn = (parameters: Record<string, string>) =>
      app.signIn(browser, { userId, onStep }, parameters);
    const errorOf = async (parameters: Record<string, string>) =>
      (await app.code(browser, { userId }, { prompt: 'none', ...parameters })).parameters.get('error');
    await signIn({ org: one! });
    expect(await errorOf({ org: one! })).toBeNull();
    expect(await errorOf({})).toBe('consent_required');
    expect(await errorOf({ org: other! })).toBe('consent_required');
    // One by one, and remembered as that in other browsers too.
    await signIn({ org: other! });
    for (const org of [one!, other!]) expect(await errorOf({ org })).toBeNull();
    const elsewhere = new OidcBrowser(server);
    await client.signIn(elsewhere, { userId, organizationId: one! });
    const { parameters } = await app.code(elsewhere, { userId }, { prompt: 'none', org: other! });
    expect(parameters.get('error')).toBeNull();
    expect((await app.code(elsewhere, { userId }, { prompt: 'none' })).parameters.get('error')).toBe(
      'consent_required',
    );
    await signIn({});
    expect(await errorOf({})).toBeNull();
    expect(await errorOf({ org: organizations[2]!.id })).toBeNull();
    expect(consents).toEqual([[one], [other], null]);
  });
});

// Attack: have more scopes allowed for one organization, and use them in the others.
test('scopes that are allowed for one organization are had in no other', async () => {
  const app = await OidcClient.create(server, issuer, {
    type: 'external',
    settings: { organization_scopes: ['invoices:read'] },
  });
  const { userId, organizations } = await member(2);
  const browser = new OidcBrowser(server);
  const all = await app.signIn(browser, { userId, organizationId: null });
  const settings = { organization_scopes: ['invoices:read', 'invoices:write'] };
  succeeded(await api.patch(`${issuer.path}/clients/${app.id}`, { settings }));
  const one = await app.signIn(browser, { userId }, { org: organizations[1]!.id });
  expect(claimsOf(one.access_token).organizations[0].scopes).toEqual(['invoices:read', 'invoices:write']);
  const { body } = await app.refresh(all.refresh_token!);
  const userinfo = await app.userinfo(body.access_token);
  for (const told of [claimsOf(body.access_token), userinfo.body])
    expect(told.organizations.map(({ scopes }: { scopes: string[] }) => scopes)).toEqual([
      ['invoices:read'],
      ['invoices:read'],
    ]);
  for (const parameters of [{}, { org: organizations[0]!.id }]) {
    const silent = await app.code(browser, { userId }, { prompt: 'none', ...parameters });
    expect(silent.parameters.get('error')).toBe('consent_required');
  }
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
