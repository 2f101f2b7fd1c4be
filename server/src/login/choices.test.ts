import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, LoginVisitor } from '../../test/harness/login-pages.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { newAddress } from '../../test/harness/otp-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
const client = await OidcClient.create(server, issuer, { confidential: true, openid: { pkce: 'optional' } });
const external = await OidcClient.create(server, issuer, { type: 'external' });

/** A user who is a member of so many organizations. */
async function memberOf(names: readonly string[]): Promise<{ address: string; ids: string[] }> {
  const address = newAddress();
  const user = await api.create(`${issuer.path}/users`, { username: address });
  const ids: string[] = [];
  for (const name of names) {
    const { id } = await issuer.createOrganization({ name });
    await api.create(`${issuer.path}/organizations/${id}/members`, {
      member_id: user.id,
      scopes: ['a:read'],
    });
    ids.push(id);
  }
  return { address, ids };
}

/** What the tokens say of organizations that the client gets for this code. */
async function organizationsIn(code: string | null) {
  const { body } = await client.post('/token', {
    grant_type: 'authorization_code',
    code: code ?? '',
    redirect_uri: redirectUri,
  });
  const { organizations, org_id } = claimsOf(body.access_token);
  return { organizations: organizations.map(({ name }: { name: string }) => name), org_id };
}

/** Without PKCE, so that a test redeems the code without a verifier. */
const plain = { code_challenge: '', code_challenge_method: '' };

describe('a member of several organizations', () => {
  test('picks the first by the first button, and its tokens are for that one', async () => {
    const { address, ids } = await memberOf(['Zeta', 'Alpha', 'Mid']);
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, address, plain);
    expect(picker.title).toBe('Choose an organization – Acme');
    expect(picker.forms[0]!.buttons.map(({ text }) => text)).toEqual([
      'AAlpha',
      'MMid',
      'ZZeta',
      'Continue with all of them',
    ]);
    const arrived = await visitor.submit(picker);
    expect(await organizationsIn(codeOf(arrived))).toEqual({ organizations: ['Alpha'], org_id: ids[1] });
  });

  test('or goes on with all', async () => {
    const { address } = await memberOf(['One', 'Two']);
    const visitor = new LoginVisitor(server);
    const arrived = await visitor.submit(await visitor.signIn(client, address, plain), {}, { button: 2 });
    expect(await organizationsIn(codeOf(arrived))).toEqual({
      organizations: ['One', 'Two'],
      org_id: undefined,
    });
  });

  test('is not asked where the client has named one, nor where it has only one', async () => {
    const { address, ids } = await memberOf(['One', 'Two']);
    const arrived = await new LoginVisitor(server).signIn(client, address, { ...plain, org: ids[1]! });
    expect(await organizationsIn(codeOf(arrived))).toEqual({ organizations: ['Two'], org_id: ids[1] });
    const single = await memberOf(['Only']);
    expect(codeOf(await new LoginVisitor(server).signIn(client, single.address))).not.toBeNull();
  });

  // The picker's form filled with the id of an organization that the user is no member of.
  test('gets nothing of an organization that is not its own', async () => {
    const { address } = await memberOf(['One', 'Two']);
    const { id } = await issuer.createOrganization({ name: 'Theirs' });
    const visitor = new LoginVisitor(server);
    const arrived = await visitor.submit(await visitor.signIn(client, address), { organization: id });
    expect(arrived.url.searchParams.get('error')).toBe('access_denied');
  });

  test('of more than twenty pages through them, and finds one by a part of its name', async () => {
    const { address } = await memberOf(
      Array.from({ length: 23 }, (_, index) => `Tenant ${String(index).padStart(2, '0')}`),
    );
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, address, plain);
    expect(picker.forms[0]!.buttons).toHaveLength(21);
    const next = /href="([^"]*after=[^"]*)"/.exec(picker.html)![1]!.replaceAll('&amp;', '&');
    const rest = await visitor.go(next);
    expect(rest.forms[0]!.buttons.map(({ text }) => text)).toEqual([
      'TTenant 20',
      'TTenant 21',
      'TTenant 22',
      'Continue with all of them',
    ]);
    const found = await visitor.submit(picker, { q: 'ant 1' }, { form: 1 });
    expect(found.forms[0]!.buttons).toHaveLength(11);
    const none = await visitor.submit(picker, { q: '%' }, { form: 1 });
    expect(none.forms[0]!.buttons).toHaveLength(1);
    const arrived = await visitor.submit(found);
    expect((await organizationsIn(codeOf(arrived))).organizations).toEqual(['Tenant 10']);
  });
});

describe('an external client', () => {
  test('gets its code once the user has allowed it, and is not asked about again', async () => {
    const address = newAddress();
    const visitor = new LoginVisitor(server);
    const consent = await visitor.signIn(external, address);
    expect(consent.html).toContain(address);
    expect(consent.html).toContain('You’ll be taken to app.example.');
    // Which scopes of organizations it gets is nothing that the client asks for, so the page has to say it.
    expect(consent.html).toContain('use every permission that you have in them');
    expect(codeOf(await visitor.submit(consent))).not.toBeNull();
    expect(codeOf(await visitor.begin(external))).not.toBeNull();
    clock.advance(61);
    expect(codeOf(await new LoginVisitor(server).signIn(external, address))).not.toBeNull();
  });

  test.for([
    [
      ['invoices:read', 'a:read'],
      'use these permissions in them, as far as you have them: invoices:read, a:read',
    ],
    [[], 'See which organizations you belong to'],
  ] as const)('may have %j of organizations, and the page says so', async ([scopes, text]) => {
    const limited = await OidcClient.create(server, issuer, {
      type: 'external',
      settings: { organization_scopes: scopes },
    });
    expect((await new LoginVisitor(server).signIn(limited, newAddress())).html).toContain(text);
  });

  test('is told so where the user does not', async () => {
    const visitor = new LoginVisitor(server);
    const arrived = await visitor.submit(await visitor.signIn(external, newAddress()), {}, { button: 1 });
    expect([arrived.url.origin, arrived.url.searchParams.get('error')]).toEqual([
      'https://app.example',
      'access_denied',
    ]);
    expect((await visitor.begin(external)).title).toBe('Allow App to use your account? – Acme');
  });
});
