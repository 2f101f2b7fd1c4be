import { type ApiAnswer, ApiClient } from './api-client.ts';
import { type Behaviour, type OidcBrowser, pkce } from './oidc-browser.ts';
import type { TestServer } from './server.ts';
import type { TestIssuer } from './test-issuer.ts';

export const redirectUri = 'https://app.example/callback';

/** What the token endpoint answers. */
export interface Tokens {
  access_token: string;
  refresh_token?: string;
  id_token?: string;
  scope?: string;
  expires_in: number;
  token_type: string;
}

/** A client of an issuer that speaks plain HTTP to the runtime. */
export class OidcClient {
  readonly id: string;
  readonly secret: string | null;
  readonly issuerId: string;
  readonly #server: TestServer;

  /** @param openid members of `settings.openid` beside the usual ones */
  static async create(
    server: TestServer,
    issuer: TestIssuer,
    {
      openid = {},
      settings = {},
      ...members
    }: { openid?: object; settings?: object; [member: string]: unknown } = {},
  ): Promise<OidcClient> {
    const made = await issuer.api.create(`${issuer.path}/clients`, {
      name: 'App',
      type: 'first_party',
      ...members,
      settings: {
        ...settings,
        openid: {
          grant_types: ['authorization_code', 'refresh_token'],
          redirect_uris: [redirectUri],
          ...openid,
        },
      },
    });
    return new OidcClient(server, issuer.id, made.id, made.secret ?? null);
  }

  constructor(server: TestServer, issuerId: string, id: string, secret: string | null) {
    this.#server = server;
    this.issuerId = issuerId;
    this.id = id;
    this.secret = secret;
  }

  at(server: TestServer): OidcClient {
    return new OidcClient(server, this.issuerId, this.id, this.secret);
  }

  /** POSTs a form to an endpoint of the issuer, with this client's credentials. */
  post(path: string, form: Record<string, string>, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    const basic = Buffer.from(`${this.id}:${this.secret}`).toString('base64');
    return new ApiClient(this.#server.url, null).request('POST', `/${this.issuerId}${path}`, {
      rawBody: new URLSearchParams(this.secret === null ? { client_id: this.id, ...form } : form).toString(),
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded',
        ...(this.secret !== null && { Authorization: `Basic ${basic}` }),
        ...headers,
      },
    });
  }

  /** An authorization code for this user, with what it takes to redeem it. */
  async code(
    browser: OidcBrowser,
    user: Behaviour,
    parameters: Record<string, string> = {},
  ): Promise<{ code: string; verifier: string; parameters: URLSearchParams }> {
    const { verifier, challenge } = pkce();
    const arrival = await browser.authorize(
      this.issuerId,
      {
        client_id: this.id,
        redirect_uri: redirectUri,
        response_type: 'code',
        scope: 'openid profile email',
        state: 'some-state',
        code_challenge: challenge,
        code_challenge_method: 'S256',
        ...parameters,
      },
      user,
    );
    return { code: arrival.parameters.get('code') ?? '', verifier, parameters: arrival.parameters };
  }

  redeem({ code, verifier }: { code: string; verifier: string }, form: Record<string, string> = {}) {
    return this.post('/token', {
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      ...form,
    });
  }

  refresh(token: string, form: Record<string, string> = {}) {
    return this.post('/token', { grant_type: 'refresh_token', refresh_token: token, ...form });
  }

  /** A whole sign-in, from the browser to the tokens. */
  async signIn(
    browser: OidcBrowser,
    user: Behaviour,
    parameters: Record<string, string> = {},
  ): Promise<Tokens> {
    const answer = await this.redeem(await this.code(browser, user, parameters));
    if (answer.status !== 200) throw new Error(`no tokens: ${answer.status} ${answer.text}`);
    return answer.body as Tokens;
  }

  userinfo(token: string): Promise<ApiAnswer> {
    return new ApiClient(this.#server.url, null).get(`/${this.issuerId}/userinfo`, {
      Authorization: `Bearer ${token}`,
    });
  }

  async isActive(token: string): Promise<boolean> {
    const { status, body } = await this.post('/introspect', { token });
    if (status !== 200) throw new Error(`no introspection: ${status}`);
    return body.active;
  }
}

/** What a JWT says, unverified. */
// biome-ignore lint/suspicious/noExplicitAny: as `ApiAnswer`.
export function claimsOf(token: string): any {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
}
