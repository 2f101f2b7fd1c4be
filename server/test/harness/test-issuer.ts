import type { ApiAnswer, ApiClient } from './api-client.ts';
import { type RawAnswer, type RawRequest, send } from './raw-http.ts';

/** A key as its creation answered it, and what may be done to it. */
export interface TestKey {
  readonly id: string;
  readonly secret: string;
  /** Of the key itself in the management API. */
  readonly path: string;
}

/** An issuer made through the API, with the calls that tests of verification make again and again. */
export class TestIssuer {
  readonly id: string;
  readonly path: string;
  readonly api: ApiClient;
  readonly #serverUrl: string;

  /**
   * @param profile body of `PUT …/key-profile`
   * @param members of the issuer, besides its name
   */
  static async create(
    server: { url: string; operator: { api: ApiClient } },
    profile: Record<string, unknown> = {},
    members: Record<string, unknown> = {},
    api: ApiClient = server.operator.api,
  ): Promise<TestIssuer> {
    const { id } = await api.create('/v1/issuers', { name: 'Acme API', ...members });
    const issuer = new TestIssuer(server.url, api, id);
    await issuer.setProfile(profile);
    return issuer;
  }

  constructor(serverUrl: string, api: ApiClient, id: string) {
    this.#serverUrl = serverUrl;
    this.api = api;
    this.id = id;
    this.path = `/v1/issuers/${id}`;
  }

  async setProfile(profile: Record<string, unknown>): Promise<void> {
    succeeded(await this.api.put(`${this.path}/key-profile`, profile));
  }

  // biome-ignore lint/suspicious/noExplicitAny: see `ApiAnswer`.
  createOrganization(body: Record<string, unknown> = {}): Promise<any> {
    return this.api.create(`${this.path}/organizations`, { name: 'Tenant', ...body });
  }

  /** A key of the issuer, or of the organization. */
  createKey(body: Record<string, unknown> = {}, organizationId?: string): Promise<TestKey> {
    const level = organizationId === undefined ? this.path : `${this.path}/organizations/${organizationId}`;
    return createKey(this.api, `${level}/api-keys`, body);
  }

  /** Asks for a decision as a gateway does, with exactly these headers. */
  authorize(headers: RawRequest['headers'] = {}, query = '', method = 'GET'): Promise<RawAnswer> {
    return send(`${this.#serverUrl}/v1/authorize/${this.id}${query}`, { method, headers });
  }

  /** The same issuer by way of another node. */
  at(server: { url: string }): TestIssuer {
    return new TestIssuer(server.url, this.api, this.id);
  }
}

/** Creates a key at whichever level the path names. */
export async function createKey(
  api: ApiClient,
  path: string,
  body: Record<string, unknown> = {},
): Promise<TestKey> {
  const { id, secret_plain: secret } = await api.create(path, body);
  return { id, secret, path: `${path}/${id}` };
}

/** The answer, which has to be a success: for the steps that prepare a test. */
export function succeeded(answer: ApiAnswer): ApiAnswer {
  if (answer.status < 200 || answer.status > 299)
    throw new Error(`A step of the test's preparation answered ${answer.status}: ${answer.text}`);
  return answer;
}
