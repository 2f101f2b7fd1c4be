import { afterAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, type LoginPage, LoginVisitor } from '../../test/harness/login-pages.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { newAddress } from '../../test/harness/otp-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

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

/** What a page of consent says that the client will be able to. */
const grantsOn = ({ html }: LoginPage) =>
  [...html.matchAll(/<li><span>(.*?)<\/span>/g)].map(([, text = '']) => text.replaceAll(/<\/?code>/g, ''));

/** Without PKCE, so that a test redeems the code without a verifier. */
const plain = { code_challenge: '', code_challenge_method: '' };

describe('a member of several organizations', () => {
  test('picks the first by the first button, and its tokens are for that one', async () => {
    const { address, ids } = await memberOf(['Zeta', 'Alpha', 'Mid']);
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, address, plain);
    expect(picker.title).toBe('Choose an organization – Acme');
    expect(picker.html).toContain(`Signed in as <strong>${address}</strong>`);
    expect(picker.forms[0]!.buttons.map(({ text }) => text)).toEqual([
      'AAlpha',
      'MMid',
      'ZZeta',
      'Continue with all of them',
    ]);
    const german = await visitor.go(picker.url.pathname, { headers: { 'Accept-Language': 'de' } });
    expect(german.html).toContain(`Angemeldet als <strong>${address}</strong>`);
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

  test('goes on as somebody else, who picks among organizations of its own', async () => {
    const [one, other] = [await memberOf(['One', 'Two']), await memberOf(['Three', 'Four'])];
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, one.address, plain);
    const again = await visitor.submit(picker, {}, { form: 1 });
    expect(again.title).toBe('Sign in – Acme');
    const { page, code } = await visitor.askForCode(again, other.address);
    const theirs = await visitor.submit(page, { code });
    expect(theirs.forms[0]!.buttons.map(({ text }) => text)).toContain('FFour');
    const arrived = await visitor.submit(theirs);
    expect(await organizationsIn(codeOf(arrived))).toEqual({ organizations: ['Four'], org_id: other.ids[1] });
  });

  test('is asked about the one that is left where what it chose is not its own any more', async () => {
    const { address, ids } = await memberOf(['Kept', 'Lost']);
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, address, plain);
    await visitor.submit(picker, {}, { button: 1 });
    succeeded(await api.post(`${issuer.path}/organizations/${ids[1]}/suspend`));
    const asked = await visitor.begin(client, plain);
    expect(asked.html).toContain('You belong to one organization now.');
    expect(asked.html).not.toContain('You belong to more than one');
    expect(asked.forms[0]!.buttons.map(({ text }) => text)).toEqual(['KKept']);
    const german = await visitor.go(asked.url.pathname, { headers: { 'Accept-Language': 'de' } });
    expect(german.html).toContain('Sie gehören jetzt zu einer Organisation.');
    const arrived = await visitor.submit(asked);
    expect(await organizationsIn(codeOf(arrived))).toEqual({ organizations: ['Kept'], org_id: ids[0] });
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
      Array.from({ length: 23 }, (_, index) => `${index % 2 === 0 ? 'Tenant' : 'tenant'} ${23 - index}`),
    );
    const visitor = new LoginVisitor(server);
    const picker = await visitor.signIn(client, address, plain);
    // As people count: 2 comes before 10, and a capital letter is none of its own.
    expect(picker.forms[0]!.buttons.map(({ text }) => text.slice(1).toLowerCase())).toEqual([
      ...Array.from({ length: 20 }, (_, index) => `tenant ${index + 1}`),
      'ontinue with all of them',
    ]);
    // What looks for one stands before the twenty that have to be looked through.
    expect(picker.html.indexOf('id="q"')).toBeLessThan(picker.html.indexOf('class="choices"'));
    // What leads on belongs to the list, and is no second thought behind another answer.
    expect(picker.html.indexOf('More organizations')).toBeLessThan(picker.html.indexOf('value="all"'));
    const next = /href="([^"]*after=[^"]*)"/.exec(picker.html)![1]!.replaceAll('&amp;', '&');
    const rest = await visitor.go(next);
    expect(rest.forms[0]!.buttons.map(({ text }) => text)).toEqual([
      'TTenant 21',
      'Ttenant 22',
      'TTenant 23',
      'Continue with all of them',
    ]);
    const found = await visitor.submit(picker, { q: 'ant 1' }, { form: 1 });
    expect(found.forms[0]!.buttons).toHaveLength(12);
    const none = await visitor.submit(picker, { q: '%' }, { form: 1 });
    expect(none.forms[0]!.buttons).toHaveLength(1);
    const [, shown = ''] = /<a class="button" href="([^"]*)">Show all organizations</.exec(none.html) ?? [];
    expect((await visitor.go(shown)).forms[0]!.buttons).toHaveLength(21);
    // The last of the page before is gone meanwhile, or was never there.
    const lost = await visitor.go(`${picker.url.pathname}?after=org_${'0'.repeat(25)}`);
    expect(lost.forms[0]!.buttons).toHaveLength(21);
    const arrived = await visitor.submit(found);
    expect((await organizationsIn(codeOf(arrived))).organizations).toEqual(['Tenant 1']);
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
    const consent = await new LoginVisitor(server).signIn(limited, newAddress());
    expect(grantsOn(consent).at(-1)).toContain(text);
    // Names are set apart from the sentence that they stand in.
    for (const scope of scopes) expect(consent.html).toContain(`<code>${scope}</code>`);
  });

  test('is for one organization where one is picked, and the page names no other', async () => {
    const { address } = await memberOf(['Zeta', 'Alpha <b>']);
    const texts = [];
    for (const [settings, pressed] of [
      [{}, 0],
      [{ organization_scopes: ['a:read'] }, 0],
      [{ organization_scopes: [] }, 1],
      [{ organization_scopes: [] }, 2],
    ] as const) {
      const app = await OidcClient.create(server, issuer, { type: 'external', settings });
      const visitor = new LoginVisitor(server);
      clock.advance(61);
      const consent = await visitor.submit(await visitor.signIn(app, address), {}, { button: pressed });
      texts.push(grantsOn(consent).at(-1));
      expect(codeOf(await visitor.submit(consent))).not.toBeNull();
      // Nor where it is remembered.
      const again = await visitor.begin(app, { prompt: 'consent' });
      expect(grantsOn(again).at(-1)).toBe(texts.at(-1));
    }
    expect(texts).toEqual([
      'See that you belong to Alpha &lt;b&gt; and use every permission that you have there',
      'See that you belong to Alpha &lt;b&gt; and use these permissions there, as far as you have them: a:read',
      'See that you belong to Zeta',
      'See which organizations you belong to',
    ]);
  });

  test('that has registered itself is said to have, and whose name it goes by nobody has checked', async () => {
    await api.patch(`${issuer.path}/oidc-settings`, { registration: 'open' });
    const { body } = await new ApiClient(server.url, null).post(`/${issuer.id}/register`, {
      client_name: 'Acme Support',
      redirect_uris: [redirectUri],
      scope: 'openid profile email',
      token_endpoint_auth_method: 'none',
    });
    const registered = new OidcClient(server, issuer.id, body.client_id, null);
    const text = 'Acme Support has registered itself, and nobody at Acme has checked it.';
    expect((await new LoginVisitor(server).signIn(registered, newAddress())).html).toContain(text);
    expect((await new LoginVisitor(server).signIn(external, newAddress())).html).not.toContain(
      'registered itself',
    );
  });

  test('asks for an API by its name, and the page says whose permissions they are and for how long', async () => {
    const resource = 'https://api.example/invoices';
    const make = (grants: readonly string[]) =>
      OidcClient.create(server, issuer, {
        type: 'external',
        settings: { scopes: ['openid', 'a:read'] },
        openid: { grant_types: grants, resource_indicators: [resource] },
      });
    const asked = async (app: OidcClient, parameters: Record<string, string>) =>
      grantsOn(await new LoginVisitor(server).signIn(app, newAddress(), parameters)).slice(0, -1);
    const once = await make(['authorization_code']);
    const kept = await make(['authorization_code', 'refresh_token']);
    expect(await asked(once, { scope: 'openid a:read' })).toEqual([
      'Recognize you when you come back',
      'Use the permission a:read for you',
    ]);
    expect(await asked(kept, { scope: 'openid a:read', resource })).toEqual([
      'Recognize you when you come back',
      `Use the permission a:read at ${resource} for you`,
      'Keep its access while you are away',
    ]);
    expect(await asked(once, { scope: 'openid', resource })).toEqual([
      'Recognize you when you come back',
      `Tell ${resource} who you are`,
    ]);
  });

  test('is asked about by somebody else, who is signed in by another account then', async () => {
    const visitor = new LoginVisitor(server);
    const [one, other] = [newAddress(), newAddress()];
    const consent = await visitor.signIn(external, one, { login_hint: one });
    const forged = await visitor.submit(consent, { token: 'x' }, { form: 1 });
    expect(forged.status).toBe(403);
    const again = await visitor.submit(consent, {}, { form: 1 });
    expect([again.title, again.forms[0]!.fields.email]).toEqual(['Sign in – Acme', '']);
    const { page, code } = await visitor.askForCode(again, other);
    const theirs = await visitor.submit(page, { code });
    expect(theirs.html).toContain(`<strong>${other}</strong>`);
    expect(codeOf(await visitor.submit(theirs))).not.toBeNull();
    expect((await visitor.begin(external, { prompt: 'login' })).forms[0]!.fields.email).toBe(other);
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
