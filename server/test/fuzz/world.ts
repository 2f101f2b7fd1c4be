import { styles } from '../../src/login/assets.ts';
import { type Customer, createCustomer } from '../harness/customer.ts';
import { alwaysThere, withIds } from '../harness/management-routes.ts';
import { OidcBrowser, pkce } from '../harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../harness/oidc-client.ts';
import type { Operation } from '../harness/openapi.ts';
import { waitFor } from '../harness/process.ts';
import type { TestServer } from '../harness/server.ts';
import { signIn } from '../harness/sign-in.ts';
import { everyPermission } from '../harness/tenant.ts';
import { createKey, TestIssuer, type TestKey } from '../harness/test-issuer.ts';

/** Who is below the issuer of a world, by the names that the paths of operations have for them. */
type Ids = Record<string, string>;

/** What makes an object that only some operations are about: the ids that their paths have for it. */
type Maker = (world: FuzzWorld) => Promise<Ids>;

/** The objects that the requests of a fuzz run are about: made anew when a request has ended one of them. */
export class FuzzWorld {
  readonly #server: TestServer;
  readonly #customer: Customer;
  readonly #metricsToken: string;
  #ids: Ids = {};
  #keys: { account: string; issuer: string; organization: string } = {
    account: '',
    issuer: '',
    organization: '',
  };
  #made = new Set<Maker>();
  #issuerKey: TestKey | undefined;
  #accessToken = '';
  #client: OidcClient | undefined;
  #clientToken = '';
  /** Values of Authorization other than the one that an operation wants. */
  otherCredentials: string[] = [];

  static async create(server: TestServer, metricsToken: string): Promise<FuzzWorld> {
    return new FuzzWorld(server, await createCustomer(server), metricsToken);
  }

  private constructor(server: TestServer, customer: Customer, metricsToken: string) {
    this.#server = server;
    this.#customer = customer;
    this.#metricsToken = metricsToken;
  }

  /** Makes another issuer, keys at every level, and whatever else the requests of an operation are about. */
  async renew(operation: Operation): Promise<void> {
    const { api } = this.#customer;
    const issuer = await api.create('/v1/issuers', {
      name: 'Acme API',
      publishable_scopes: ['catalog:read'],
    });
    const path = `/v1/issuers/${issuer.id}`;
    const organization = await api.create(`${path}/organizations`, { name: 'Tenant', external_id: 'tenant' });
    const user = await api.create(`${path}/users`, { username: 'fuzz@example.com' });
    const restrictions = { scopes: [...everyPermission, 'invoices:read'] };
    this.#issuerKey = await createKey(api, `${path}/api-keys`, { restrictions });
    const ofIssuer = await createKey(api, `${path}/api-keys`, { restrictions });
    const below = `${path}/organizations/${organization.id}`;
    const ofOrganization = await createKey(api, `${below}/api-keys`, { restrictions });
    const ofAccount = await createKey(api, '/v1/api-keys', { restrictions });
    this.#keys = { account: ofAccount.id, issuer: ofIssuer.id, organization: ofOrganization.id };
    this.#ids = { issuer_id: issuer.id, org_id: organization.id, user_id: user.id, ...alwaysThere };
    this.#made = new Set();
    this.otherCredentials = [
      basic(this.#customer.key),
      basic(this.#server.operator.key),
      basic(ofOrganization),
      basic({ id: ofAccount.id, secret: this.#customer.key.secret }),
      `Bearer ${this.#issuerKey.secret}`,
      `Bearer ${this.#server.demo.key.secret}`,
      this.#issuerKey.secret,
      ...[
        'Basic',
        'Basic ',
        'Basic !!!',
        'Basic Og==',
        'Basic OjpvOg==',
        'Bearer',
        'Bearer a b',
        'Digest x',
        '',
        ':',
      ],
      `Bearer ${'x'.repeat(600)}`,
      `Bearer ${this.#issuerKey.secret.slice(0, -1)}`,
      'Bearer eyJhbGciOiJub25lIn0.e30.',
    ];
    await this.complete(operation);
  }

  /** Makes what the requests of an operation are about and this world has not got yet. */
  async complete(operation: Operation): Promise<void> {
    for (const make of makersFor(operation)) {
      if (this.#made.has(make)) continue;
      this.#made.add(make);
      Object.assign(this.#ids, await make(this));
    }
  }

  static readonly twin: Maker = async (world) => {
    const twin = await world.#customer.api.create(`${world.#issuerPath}/sandbox-issuer`);
    return { twin_id: twin.id };
  };

  static readonly mail: Maker = async (world) => ({ mail_id: await world.#showMail(world.#ids.issuer_id!) });

  static readonly member: Maker = async (world) => {
    const { api } = world.#customer;
    const { org_id } = world.#ids;
    const member = await api.create(`${world.#issuerPath}/users`, { username: 'member@example.com' });
    const organization = `${world.#issuerPath}/organizations/${org_id}`;
    const group = await api.create(`${organization}/groups`, {
      name: 'Accounting',
      scopes: ['reports:read'],
    });
    await api.create(`${organization}/members`, {
      member_id: member.id,
      scopes: ['invoices:read'],
      groups: [group.id],
    });
    return { member_id: member.id, group_id: group.id };
  };

  static readonly client: Maker = async (world) => {
    const client = await world.#customer.api.create(`${world.#issuerPath}/clients`, {
      name: 'fuzz',
      settings: { openid: { redirect_uris: ['https://fuzz.example.com/callback'] } },
    });
    return { client_id: client.id };
  };

  static readonly signedInClient: Maker = async (world) => {
    const { api } = world.#customer;
    await api.patch(`${world.#issuerPath}/oidc-settings`, {
      device_flow: true,
      dpop: true,
      registration: 'open',
      registration_quota: 10_000,
    });
    const issuer = new TestIssuer(world.#server.url, api, world.#ids.issuer_id!);
    world.#client = await OidcClient.create(world.#server, issuer, {
      settings: { scopes: ['openid', 'reports:read'] },
      openid: {
        grant_types: [
          'authorization_code',
          'client_credentials',
          'urn:ietf:params:oauth:grant-type:device_code',
        ],
      },
    });
    const tokens = await world.#client.signIn(
      new OidcBrowser(world.#server),
      { userId: world.#ids.user_id! },
      { scope: 'openid' },
    );
    world.#clientToken = tokens.access_token;
    return {};
  };

  static readonly session: Maker = async (world) => {
    const session = await signIn(world.#server, world.#ids.issuer_id!, world.#ids.user_id!);
    world.#accessToken = session.token;
    return { session_id: session.session_id };
  };

  static readonly signingKey: Maker = async (world) => {
    const { body } = await world.#customer.api.get(`${world.#issuerPath}/signing-keys`);
    return { signing_key_id: body.data[0].id };
  };

  static readonly grant: Maker = async (world) => {
    const grant = await world.#customer.api.create('/v1/account/support-grants', { reason: 'fuzz' });
    return { grant_id: grant.id };
  };

  static readonly plan: Maker = async (world) => {
    const plan = await world.#customer.api.create('/v1/plans', { name: `plan-${world.#ids.user_id}` });
    return { plan_name: plan.name };
  };

  static readonly account: Maker = async (world) => {
    const account = await world.#server.operator.api.create('/v1/accounts', {
      name: 'Globex Corporation',
      owner_email: 'owner@globex.example',
    });
    return { account_id: account.id };
  };

  /** A path with ids of this world in it, or with others. */
  pathOf(template: string, other?: (name: string) => string): string {
    return template.replaceAll(
      /\{(\w+)\}/g,
      (_all, name: string) => other?.(name) ?? this.#idOf(template, name),
    );
  }

  credentialsFor({ path, operationId }: Operation): [string, string][] {
    if (operationId === 'health.metrics') return [['Authorization', `Bearer ${this.#metricsToken}`]];
    if (/^oidc\.(post)?[uU]serinfo$/.test(operationId))
      return [['Authorization', `Bearer ${this.#clientToken}`]];
    if (operationId.startsWith('oidc.'))
      return [['Authorization', basic({ id: this.#client!.id, secret: this.#client!.secret! })]];
    if (/auth\.(me|refresh|logout)$/.test(operationId))
      return [['Authorization', `Bearer ${this.#accessToken}`]];
    const isOfIssuerKeys = path.startsWith('/v1/authorize') || /auth\/(?:request|verify)-otp$/.test(path);
    if (isOfIssuerKeys) return [['Authorization', `Bearer ${this.#issuerKey!.secret}`]];
    const key =
      path.startsWith('/v1/accounts') || path.startsWith('/dev/')
        ? this.#server.operator.key
        : this.#customer.key;
    return [['Authorization', basic(key)]];
  }

  bodyOf(operation: Operation): unknown {
    const example = withIds(operation.body!.example as object, { user_id: this.#ids.user_id! });
    const { secret: key } = this.#issuerKey!;
    if (operation.operationId === 'keys.verify') return { ...example, key };
    if (operation.operationId === 'keys.verifyBatch') return { requests: [{ key }, { key, explain: true }] };
    return example;
  }

  /** The form of an operation that it should carry out. */
  formOf({ operationId, form }: Operation): Record<string, string> {
    const example = form!.example as Record<string, string>;
    const { id } = this.#client!;
    if (operationId === 'oidc.keyinfo') return { key: this.#issuerKey!.secret };
    if (operationId === 'oidc.pushAuthorization' || operationId === 'oidc.postAuthorize')
      return this.#authorization();
    return 'client_id' in example ? { ...example, client_id: id } : example;
  }

  /** The query of an operation that it should carry out. */
  queryOf(operation: Operation): [string, string][] {
    if (operation.operationId === 'oidc.authorize') return Object.entries(this.#authorization());
    return operation.parameters
      .filter((parameter) => parameter.in === 'query' && parameter.required)
      .map(({ name, example }): [string, string] => [name, String(example)]);
  }

  #authorization(): Record<string, string> {
    return {
      client_id: this.#client!.id,
      response_type: 'code',
      scope: 'openid',
      redirect_uri: redirectUri,
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
    };
  }

  /** Answers the id of a mail that is in the mailbox of the server. */
  async #showMail(issuerId: string): Promise<string> {
    const { database, mails, devMailbox, clock } = this.#server.running.services;
    const to = `${issuerId}@example.com`;
    await database.withAccount(this.#customer.id, (tx) =>
      mails.queue(tx, {
        accountId: this.#customer.id,
        issuerId,
        environment: 'live',
        mail: { to, subject: 'fuzz', text: 'fuzz', html: '<p>fuzz</p>', senderName: null },
        notAfterMs: clock.nowMs() + 600_000,
        subject: { type: 'issuer', id: issuerId },
      }),
    );
    mails.wake();
    return waitFor(() => devMailbox?.list(to)[0]?.id);
  }

  get #issuerPath(): string {
    return `/v1/issuers/${this.#ids.issuer_id}`;
  }

  #idOf(template: string, name: string): string {
    if (template.endsWith('/sandbox-mailbox')) return this.#ids.twin_id!;
    if (name === 'uid') return 'no-sign-in';
    if (name === 'asset_name') return styles.name;
    if (name !== 'key_id') {
      const id = this.#ids[name];
      if (id === undefined) throw new Error(`no ${name} in the world of ${template}`);
      return id;
    }
    if (template.includes('{org_id}')) return this.#keys.organization;
    return template.includes('{issuer_id}') ? this.#keys.issuer : this.#keys.account;
  }
}

/** Few of them for each: what they make is most of what a run in CI takes. */
function makersFor({ path, operationId }: Operation): Maker[] {
  const isNamed = (name: string) => path.includes(`{${name}}`);
  const makers: [boolean, Maker][] = [
    [path.endsWith('/sandbox-mailbox'), FuzzWorld.twin],
    [isNamed('mail_id'), FuzzWorld.mail],
    [isNamed('member_id') || isNamed('group_id'), FuzzWorld.member],
    [isNamed('client_id'), FuzzWorld.client],
    [/^(?:oidc|login)\./.test(operationId), FuzzWorld.signedInClient],
    [isNamed('session_id') || /auth\.(me|refresh|logout)$/.test(operationId), FuzzWorld.session],
    [isNamed('signing_key_id'), FuzzWorld.signingKey],
    [isNamed('grant_id'), FuzzWorld.grant],
    [isNamed('plan_name'), FuzzWorld.plan],
    [isNamed('account_id'), FuzzWorld.account],
  ];
  return makers.filter(([isNeeded]) => isNeeded).map(([, make]) => make);
}

function basic({ id, secret }: { id: string; secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}
