import { type RawAnswer, type RawRequest, send } from '../harness/raw-http.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { succeeded, TestIssuer } from '../harness/test-issuer.ts';
import { Gateway, type GatewayKind, type GatewayOptions } from './gateway.ts';
import { type StandIn, startStandIn } from './stand-in.ts';
import { startUpstream, type Upstream } from './upstream.ts';

export type RequestHeaders = NonNullable<RawRequest['headers']>;

/** What a client of the API may rely on in a refusal, besides status and body. */
const contractHeaders = [
  'content-type',
  'www-authenticate',
  'x-environment',
  'x-request-id',
  'retry-after',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'ratelimit',
  'ratelimit-policy',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'access-control-allow-credentials',
  'vary',
  'deprecation',
  'sunset',
  'cache-control',
  'x-content-type-options',
] as const;

/** A page that the publishable key of `acme` may be used from. */
export const page = 'https://app.example.com';

/** What the examples answer while Gatelodge is away. */
export const unavailableBody =
  '{"error":{"code":"unavailable","message":"Try again shortly","type":"api_error"}}';

interface Tenant {
  id: string;
}

/** A gateway of examples/proxies between clients and an API, with everything around it that its guarantees need. */
export class GatewayWorld {
  readonly kind: GatewayKind;
  /** Stands still until a test moves it. */
  readonly clock = new TestClock();
  readonly keys: Record<string, string> = {};
  /** Where issuers and keys are made. */
  server!: TestServer;
  /** A node that trusts what the gateway says in X-Forwarded-*, as an operator sets it up. */
  gatelodge!: TestServer;
  upstream!: Upstream;
  standIn!: StandIn;
  issuer!: TestIssuer;
  tenants!: { acme: Tenant; globex: Tenant; suspended: Tenant };
  /** In front of Gatelodge, and in front of what stands in for it. */
  gateway!: Gateway;
  withStandIn!: Gateway;
  readonly #gateways: Gateway[] = [];

  constructor(kind: GatewayKind) {
    this.kind = kind;
  }

  async open(): Promise<void> {
    const { clock } = this;
    this.server = await startTestServer({ clock });
    [this.gatelodge, this.upstream, this.standIn] = await Promise.all([
      startTestServer({
        clock,
        nodeOf: this.server,
        env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
      }),
      startUpstream(),
      startStandIn(),
    ]);
    this.issuer = await TestIssuer.create(this.server, { preset: 'tenant-header' });
    const { issuer } = this;
    this.tenants = {
      acme: await issuer.createOrganization({ external_id: 'tenant_acme' }),
      globex: await issuer.createOrganization({ external_id: 'tenant_globex' }),
      suspended: await issuer.createOrganization({ external_id: 'tenant_suspended' }),
    };
    await this.#createKeys();
    succeeded(await issuer.api.post(`${issuer.path}/organizations/${this.tenants.suspended.id}/suspend`));
    this.gateway = await this.start();
    this.withStandIn = await this.start({ gatelodge: this.standIn.address });
  }

  async close(): Promise<void> {
    await Promise.all(this.#gateways.map((each) => each.stop()));
    await Promise.all([this.upstream?.close(), this.standIn?.close(), this.gatelodge?.close()]);
    await this.server?.close();
  }

  /** Another gateway of this kind, in front of Gatelodge unless told otherwise. Stopped with the world. */
  start = async (options: Partial<GatewayOptions> = {}): Promise<Gateway> => {
    const started = await Gateway.start(this.kind, {
      gatelodge: new URL(this.gatelodge.url).host,
      upstream: this.upstream.address,
      issuerId: this.issuer.id,
      ...options,
    });
    this.#gateways.push(started);
    return started;
  };

  /** A request of a client. */
  ask = (
    headers: RequestHeaders = {},
    path = '/echo',
    request: RawRequest = {},
    via: Gateway = this.gateway,
  ): Promise<RawAnswer> => send(`${via.url}${path}`, { ...request, headers });

  /** The headers of a client with this key. */
  of = (key: string, tenant = 'tenant_acme'): RequestHeaders => ({
    'x-api-key': this.keys[key]!,
    'x-tn': tenant,
  });

  /** What Gatelodge itself says of the request, and what the client of the gateway got. */
  bothAnswers = async (
    headers: RequestHeaders,
    options: { path?: string; via?: Gateway; of?: TestIssuer; demands?: string } = {},
  ): Promise<{ direct: RawAnswer; answer: RawAnswer }> => {
    const { path = '/echo', via = this.gateway, of = this.issuer, demands } = options;
    const named = { ...headers, 'X-Request-Id': 'trace-7' };
    const query = demands === undefined ? '' : `?${demands}`;
    const direct = await send(`${this.gatelodge.url}/v1/authorize/${of.id}${query}`, {
      headers: { ...named, 'X-Forwarded-For': '127.0.0.1', 'X-Forwarded-Uri': path },
    });
    return { direct, answer: await this.ask(named, path, {}, via) };
  };

  /** The values that a header of the last request to the upstream had. */
  valuesSeen = (name: string): string[] =>
    this.upstream.last().headers.flatMap(([each, value]) => (each === name ? [value] : []));

  namesSeen = (): string[] => this.upstream.last().headers.map(([name]) => name);

  /** What stands in Connection, one by one. */
  connectionSeen = (): string[] => {
    const tokens = this.valuesSeen('connection').flatMap((value) => value.toLowerCase().split(','));
    return tokens.map((token) => token.trim()).filter((token) => token !== '');
  };

  /** What the upstream takes for the word of Gatelodge, by name; what is empty says nothing. */
  identitySeen = (): [name: string, value: string][] => {
    const said = this.upstream
      .last()
      .headers.filter(([name, value]) => /gatelodge/.test(name) && value !== '');
    return said.toSorted(([one], [other]) => (one < other ? -1 : 1));
  };

  async #createKeys(): Promise<void> {
    const { issuer, keys, tenants } = this;
    const { acme, globex, suspended } = tenants;
    const create = async (name: string, body: Record<string, unknown>, organizationId: string) => {
      const key = await issuer.createKey(body, organizationId);
      keys[name] = key.secret;
      return key;
    };
    await create('acme', { restrictions: { scopes: ['subscriptions:read'] } }, acme.id);
    await create('acme without scopes', {}, acme.id);
    await create('acme sandbox', { environment: 'sandbox' }, acme.id);
    await create('acme page', { kind: 'publishable', restrictions: { origins: [page] } }, acme.id);
    await create('acme from elsewhere', { restrictions: { ips: ['192.0.2.0/24'] } }, acme.id);
    await create('globex', {}, globex.id);
    await create('suspended', {}, suspended.id);
    const revoked = await create('revoked', {}, acme.id);
    succeeded(await issuer.api.post(`${revoked.path}/revoke`));
    keys.unknown = `sk_dev_${'0'.repeat(44)}`;
  }
}

/** What a client may rely on, of an answer. */
export function contractOf({ status, headers, text }: RawAnswer) {
  return {
    status,
    text,
    headers: Object.fromEntries(contractHeaders.map((name) => [name, headers[name]])),
  };
}

/** What Gatelodge says of an allowed request. */
export function identityOf(organizationId: string): Record<string, string> {
  return {
    'X-Gatelodge-Key-Id': 'key_a',
    'X-Gatelodge-Account-Id': 'acc_a',
    'X-Gatelodge-Issuer-Id': 'i_a',
    'X-Gatelodge-Organization-Id': organizationId,
    'X-Gatelodge-Kind': 'secret',
    'X-Gatelodge-Environment': 'live',
    'X-Gatelodge-Scopes': '',
  };
}
