import { ApiClient } from './api-client.ts';
import { createCustomer } from './customer.ts';
import { type LoginPage, LoginVisitor } from './login-pages.ts';
import { OidcClient, redirectUri } from './oidc-client.ts';
import { newAddress, wrongCodes } from './otp-client.ts';
import type { TestClock, TestServer } from './server.ts';
import { TestIssuer } from './test-issuer.ts';

/** A page of the hosted login in one of its states. */
export interface GalleryPage {
  readonly name: string;
  readonly page: LoginPage;
}

const longName =
  'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft & <b>Söhne</b> International Holding';

const resource = 'https://api.example/invoices';

/** Everything that an issuer needs for all of its pages to be shown. */
export class LoginGallery {
  readonly #server: TestServer;
  readonly #clock: TestClock;
  readonly #issuer: TestIssuer;
  readonly #sandbox: TestIssuer;
  readonly #suspended: TestIssuer;
  readonly #app: OidcClient;
  readonly #external: OidcClient;
  readonly #longExternal: OidcClient;
  readonly #device: OidcClient;
  readonly #fewAddress: string;
  readonly #manyAddress: string;

  static async open(server: TestServer, clock: TestClock): Promise<LoginGallery> {
    const { api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
    await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true, registration: 'open' });
    const sandbox = await TestIssuer.create(server, {}, { name: 'Acme', environment: 'sandbox' }, api);
    const suspended = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
    await api.post(`${suspended.path}/suspend`);
    const external = {
      type: 'external',
      settings: { scopes: ['openid', 'profile', 'email', 'offline_access', 'invoices:read'] },
      openid: { resource_indicators: [resource] },
    };
    const [fewAddress, manyAddress] = [newAddress('few'), newAddress('many')];
    for (const [address, count] of [
      [fewAddress, 3],
      [manyAddress, 25],
    ] as const) {
      const user = await api.create(`${issuer.path}/users`, { username: address });
      for (let index = 0; index < count; index++) {
        const name = index === 1 ? longName : `Tenant ${index + 1}`;
        const { id } = await issuer.createOrganization({ name });
        await api.create(`${issuer.path}/organizations/${id}/members`, {
          member_id: user.id,
          scopes: ['invoices:read'],
        });
      }
    }
    return new LoginGallery({
      server,
      clock,
      issuer,
      sandbox,
      suspended,
      app: await OidcClient.create(server, issuer, { name: 'Invoices' }),
      external: await OidcClient.create(server, issuer, { ...external, name: 'Ledger Sync' }),
      longExternal: await OidcClient.create(server, issuer, { ...external, name: longName.slice(0, 100) }),
      device: await OidcClient.create(server, issuer, {
        name: 'TV',
        openid: {
          application_type: 'native',
          grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
          redirect_uris: [],
        },
      }),
      fewAddress,
      manyAddress,
    });
  }

  private constructor(of: {
    server: TestServer;
    clock: TestClock;
    issuer: TestIssuer;
    sandbox: TestIssuer;
    suspended: TestIssuer;
    app: OidcClient;
    external: OidcClient;
    longExternal: OidcClient;
    device: OidcClient;
    fewAddress: string;
    manyAddress: string;
  }) {
    this.#server = of.server;
    this.#clock = of.clock;
    this.#issuer = of.issuer;
    this.#sandbox = of.sandbox;
    this.#suspended = of.suspended;
    this.#app = of.app;
    this.#external = of.external;
    this.#longExternal = of.longExternal;
    this.#device = of.device;
    this.#fewAddress = of.fewAddress;
    this.#manyAddress = of.manyAddress;
  }

  /** Each page in each state, in one language. */
  async pages(language: 'en' | 'de'): Promise<readonly GalleryPage[]> {
    const visitor = () => new LoginVisitor(this.#server, { headers: { 'Accept-Language': language } });
    const parts = [
      await this.#signingIn(visitor),
      await this.#choosing(visitor),
      await this.#consenting(visitor),
      await this.#failing(visitor),
      await this.#leaving(visitor),
      await this.#connecting(visitor),
    ];
    this.#clock.advance(3_700);
    return parts.flat();
  }

  async #signingIn(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const one = visitor();
    const address = newAddress('a-person-with-a-rather-long-name.of-many-parts');
    const first = await one.begin(this.#app);
    const { page: second, code } = await one.askForCode(first, address);
    const [wrong = ''] = wrongCodes(code, 1);
    const tooSoon = await one.submit(second, {}, { form: 1 });
    const anew = visitor();
    const askedBefore = await anew.submit(await anew.begin(this.#app), { email: address });
    const withCode = await anew.submit(askedBefore, {}, { form: 1 });
    this.#clock.advance(61);
    const resent = await one.submit(second, {}, { form: 1 });
    const pages: GalleryPage[] = [
      { name: 'address', page: first },
      { name: 'address-filled', page: await visitor().begin(this.#app, { login_hint: address }) },
      { name: 'address-invalid', page: await one.submit(await one.begin(this.#app), { email: 'nobody' }) },
      { name: 'address-too-soon', page: askedBefore },
      { name: 'code', page: second },
      { name: 'code-from-before', page: withCode },
      { name: 'code-too-soon', page: tooSoon },
      { name: 'code-resent', page: resent },
      { name: 'code-malformed', page: await one.submit(resent, { code: '12' }) },
      { name: 'code-wrong', page: await one.submit(resent, { code: wrong }) },
    ];
    const spent = visitor();
    const { page: guessable, code: right } = await spent.askForCode(
      await spent.begin(this.#app),
      newAddress('spent'),
    );
    const [guess = ''] = wrongCodes(right, 1);
    for (let guesses = 0; guesses < 4; guesses++) await spent.submit(guessable, { code: guess });
    const last = await spent.submit(guessable, { code: guess });
    pages.push({ name: 'code-spent', page: last });
    pages.push({ name: 'code-spent-late', page: await spent.submit(guessable, { code: guess }) });
    pages.push({ name: 'code-spent-again', page: await spent.go(last.url.pathname) });
    let guessed = second;
    for (let guesses = 0; guesses < 10 && guessed.status !== 429; guesses++) {
      guessed = await one.submit(resent, { code: wrong });
      this.#clock.advance(61);
      // With another code there are as many guesses as the address has left, and then none.
      if (guesses === 4) guessed = await one.submit(guessed);
    }
    pages.push({ name: 'code-too-many', page: guessed });
    let asked = first;
    for (let sends = 0; sends < 6 && asked.status !== 429; sends++) {
      this.#clock.advance(61);
      asked = await one.submit(await one.begin(this.#app), { email: address });
    }
    pages.push({ name: 'address-too-many', page: asked });
    const inSandbox = visitor();
    const client = await OidcClient.create(this.#server, this.#sandbox, { name: 'Invoices' });
    const sandbox = await inSandbox.begin(client);
    pages.push({ name: 'sandbox-address', page: sandbox });
    pages.push({ name: 'sandbox-code', page: await inSandbox.submit(sandbox, { email: address }) });
    return pages;
  }

  async #choosing(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const [one, other] = [visitor(), visitor()];
    const many = await other.signIn(this.#app, this.#manyAddress);
    const next = /href="([^"]*after=[^"]*)"/.exec(many.html)?.[1]?.replaceAll('&amp;', '&') ?? '';
    return [
      { name: 'organizations', page: await one.signIn(this.#app, this.#fewAddress) },
      { name: 'organizations-many', page: many },
      { name: 'organizations-next', page: await other.go(next) },
      { name: 'organizations-none', page: await other.submit(many, { q: 'Zebra & "Co"' }, { form: 1 }) },
      { name: 'organizations-left', page: await this.#oneLeft(visitor()) },
    ];
  }

  /** Of two organizations the one that the user has picked is not there any more. */
  async #oneLeft(one: LoginVisitor): Promise<LoginPage> {
    const { api, path } = this.#issuer;
    const address = newAddress();
    const user = await api.create(`${path}/users`, { username: address });
    const ids: string[] = [];
    for (const name of ['Tenant 1', 'Tenant 2']) {
      const { id } = await this.#issuer.createOrganization({ name });
      await api.create(`${path}/organizations/${id}/members`, {
        member_id: user.id,
        scopes: ['invoices:read'],
      });
      ids.push(id);
    }
    await one.submit(await one.signIn(this.#app, address), {}, { button: 1 });
    await api.post(`${path}/organizations/${ids[1]}/suspend`);
    return one.begin(this.#app);
  }

  async #consenting(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const scope = 'openid profile email offline_access invoices:read';
    const { body } = await new ApiClient(this.#server.url, null).post(`/${this.#issuer.id}/register`, {
      client_name: 'Ledger Agent',
      redirect_uris: [redirectUri],
      scope: 'openid email',
      token_endpoint_auth_method: 'none',
    });
    const registered = new OidcClient(this.#server, this.#issuer.id, body.client_id, null);
    const one = visitor();
    this.#clock.advance(61);
    const picker = await one.signIn(this.#external, this.#fewAddress, { scope, resource });
    return [
      {
        name: 'consent-registered',
        page: await visitor().signIn(registered, newAddress(), { scope: 'openid email' }),
      },
      { name: 'consent-organization', page: await one.submit(picker) },
      { name: 'consent', page: await visitor().signIn(this.#external, newAddress(), { scope }) },
      {
        name: 'consent-long',
        page: await visitor().signIn(this.#longExternal, newAddress('x'.repeat(40)), { scope }),
      },
    ];
  }

  async #failing(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const one = visitor();
    const first = await one.begin(this.#app);
    const hostile = { 'Sec-Fetch-Site': 'cross-site' };
    const { id } = this.#issuer;
    return [
      { name: 'over', page: await visitor().go(`/${id}/login/nothing-here`) },
      { name: 'unknown-issuer', page: await visitor().go(`/i_${'0'.repeat(25)}/login/nothing-here`) },
      { name: 'suspended', page: await visitor().go(`/${this.#suspended.id}/authorize?client_id=x`) },
      { name: 'out-of-date', page: await one.submit(first, { token: 'x' }) },
      { name: 'foreign', page: await one.submit(first, {}, { headers: hostile }) },
      {
        name: 'bad-request',
        page: await visitor().go(`/${id}/authorize?client_id=<script>alert(1)</script>`),
      },
      { name: 'resumed-twice', page: await visitor().go(`/${id}/authorize/nothing-here`) },
    ];
  }

  async #leaving(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const one = visitor();
    await one.signIn(this.#app, newAddress());
    const confirm = await one.go(`/${this.#issuer.id}/logout?client_id=${this.#app.id}`);
    return [
      { name: 'logout', page: confirm },
      { name: 'logout-stayed', page: await one.go(`/${this.#issuer.id}/logout?stay=yes`) },
      { name: 'logged-out', page: await one.submit(confirm) },
      { name: 'logout-refused', page: await one.go(`/${this.#issuer.id}/logout?id_token_hint=x`) },
    ];
  }

  async #connecting(visitor: () => LoginVisitor): Promise<GalleryPage[]> {
    const one = visitor();
    const { body } = await this.#device.post('/device/authorization', { scope: 'openid' });
    const enter = await one.go(`/${this.#issuer.id}/device`);
    const unknown = await one.submit(enter, { user_code: 'BBBB-BBBB' });
    const confirm = await one.submit(unknown, { user_code: body.user_code });
    const other = visitor();
    const started = await this.#device.post('/device/authorization', { scope: 'openid' });
    const refusable = await other.submit(await other.go(`/${this.#issuer.id}/device`), {
      user_code: started.body.user_code,
    });
    const address = await one.submit(confirm);
    const { page, code } = await one.askForCode(address, newAddress());
    return [
      { name: 'device', page: enter },
      { name: 'device-linked', page: await visitor().go(`/${this.#issuer.id}/device?user_code=BCDF-GHJK`) },
      { name: 'device-unknown', page: unknown },
      { name: 'device-confirm', page: confirm },
      { name: 'device-failed', page: await visitor().submit(enter, { user_code: 'BBBB-BBBB' }) },
      { name: 'device-refused', page: await other.submit(refusable, {}, { button: 1 }) },
      { name: 'device-done', page: await one.submit(page, { code }) },
    ];
  }
}
