import { styles } from '../../src/login/assets.ts';
import { createCustomer } from '../harness/customer.ts';
import { withIds } from '../harness/management-routes.ts';
import { pkce } from '../harness/oidc-browser.ts';
import { redirectUri } from '../harness/oidc-client.ts';
import type { Operation } from '../harness/openapi.ts';
import type { TestServer } from '../harness/server.ts';
import { completeObjects, type FuzzObjects, type Maker, makeObjects } from './objects.ts';

/** The objects that the requests of a fuzz run are about: made anew when a request has ended one of them. */
export class FuzzWorld {
  readonly #maker: Maker;
  readonly #metricsToken: string;
  #made: FuzzObjects | undefined;

  static async create(server: TestServer, metricsToken: string): Promise<FuzzWorld> {
    return new FuzzWorld({ server, customer: await createCustomer(server) }, metricsToken);
  }

  private constructor(maker: Maker, metricsToken: string) {
    this.#maker = maker;
    this.#metricsToken = metricsToken;
  }

  /** Makes them anew. Requests that are made meanwhile are about those of before. */
  async renew(operation: Operation): Promise<void> {
    this.#made = await makeObjects(this.#maker, operation);
  }

  /** Makes what the requests of an operation are about and is not there yet. */
  complete(operation: Operation): Promise<void> {
    return completeObjects(this.#maker, this.#objects, operation);
  }

  /** Values of Authorization other than the one that an operation wants. */
  get otherCredentials(): string[] {
    const { customer, server } = this.#maker;
    const { account, organization, verifying } = this.#objects.keys;
    return [
      basic(customer.key),
      basic(server.operator.key),
      basic(organization),
      basic({ id: account.id, secret: customer.key.secret }),
      `Bearer ${verifying.secret}`,
      `Bearer ${server.demo.key.secret}`,
      verifying.secret,
      ...['Basic', 'Basic ', 'Basic !!!', 'Basic Og==', 'Basic OjpvOg==', 'Bearer', 'Bearer a b'],
      ...['Digest x', '', ':'],
      `Bearer ${'x'.repeat(600)}`,
      `Bearer ${verifying.secret.slice(0, -1)}`,
      'Bearer eyJhbGciOiJub25lIn0.e30.',
    ];
  }

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
      return [['Authorization', `Bearer ${this.#objects.clientToken}`]];
    if (operationId.startsWith('oidc.')) {
      const { id, secret } = this.#objects.client!;
      return [['Authorization', basic({ id, secret: secret! })]];
    }
    if (/auth\.(me|refresh|logout)$/.test(operationId))
      return [['Authorization', `Bearer ${this.#objects.accessToken}`]];
    const isOfIssuerKeys = path.startsWith('/v1/authorize') || /auth\/(?:request|verify)-otp$/.test(path);
    if (isOfIssuerKeys) return [['Authorization', `Bearer ${this.#objects.keys.verifying.secret}`]];
    const key =
      path.startsWith('/v1/accounts') || path.startsWith('/dev/')
        ? this.#maker.server.operator.key
        : this.#maker.customer.key;
    return [['Authorization', basic(key)]];
  }

  bodyOf(operation: Operation): unknown {
    const example = withIds(operation.body!.example as object, { user_id: this.#objects.ids.user_id! });
    const { secret: key } = this.#objects.keys.verifying;
    if (operation.operationId === 'keys.verify') return { ...example, key };
    if (operation.operationId === 'keys.verifyBatch') return { requests: [{ key }, { key, explain: true }] };
    return example;
  }

  /** The form of an operation that it should carry out. */
  formOf({ operationId, form }: Operation): Record<string, string> {
    const example = form!.example as Record<string, string>;
    const { client, keys } = this.#objects;
    if (operationId === 'oidc.keyinfo') return { key: keys.verifying.secret };
    if (operationId === 'oidc.pushAuthorization' || operationId === 'oidc.postAuthorize')
      return this.#authorization();
    return 'client_id' in example ? { ...example, client_id: client!.id } : example;
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
      client_id: this.#objects.client!.id,
      response_type: 'code',
      scope: 'openid',
      redirect_uri: redirectUri,
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
    };
  }

  get #objects(): FuzzObjects {
    if (this.#made === undefined) throw new Error('renew it first');
    return this.#made;
  }

  #idOf(template: string, name: string): string {
    if (name === 'uid') return 'no-sign-in';
    if (name === 'asset_name') return styles.name;
    const { ids, keys } = this.#objects;
    if (name === 'key_id') {
      const isOfIssuer = template.includes('{issuer_id}');
      if (template.includes('{org_id}')) return keys.organization.id;
      return isOfIssuer ? keys.issuer.id : keys.account.id;
    }
    const id = ids[template.endsWith('/sandbox-mailbox') ? 'twin_id' : name];
    if (id === undefined) throw new Error(`${template}: no ${name} has been made`);
    return id;
  }
}

function basic({ id, secret }: { id: string; secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}
