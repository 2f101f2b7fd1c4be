import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { mailedCodeAcr } from '../../src/oidc/acr.ts';
import type { Exchange, LoadedInteraction } from '../../src/oidc/interactions.ts';
import type { ApiAnswer } from './api-client.ts';
import type { TestServer } from './server.ts';

/** Where a browser has been sent that is no page of the runtime: the client, with what is in the URL. */
export interface Arrival {
  readonly url: URL;
  readonly parameters: URLSearchParams;
}

/** How the user behaves on the pages of the login, which are others' to test. */
export interface Behaviour {
  userId: string;
  amr?: readonly string[];
  /** What it picks where it is asked; null for all. */
  organizationId?: string | null;
  refusesConsent?: boolean;
  /** Told each step that it is asked for, before it answers. */
  onStep?: (loaded: LoadedInteraction) => unknown;
}

interface Cookie {
  name: string;
  value: string;
  path: string;
}

/** A browser at the runtime of issuers: it keeps cookies by their paths and follows redirects. */
export class OidcBrowser {
  /** By path and name: a browser keeps those of one name apart that are for different paths. */
  readonly cookies = new Map<string, Cookie>();
  /** Every Set-Cookie that has come, as it was sent. */
  readonly setCookies: string[] = [];
  readonly #server: TestServer;

  constructor(server: TestServer) {
    this.#server = server;
  }

  /** The same browser at another node. */
  at(server: TestServer): OidcBrowser {
    const browser = new OidcBrowser(server);
    for (const [key, cookie] of this.cookies) browser.cookies.set(key, cookie);
    return browser;
  }

  /** One request, without following anything. */
  async request(url: string, init: RequestInit = {}): Promise<ApiAnswer> {
    const path = this.#pathOf(url);
    const response = await fetch(this.#server.url + path, {
      ...init,
      redirect: 'manual',
      headers: { Accept: 'text/html', Cookie: this.#cookiesFor(path), ...init.headers },
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: null };
  }

  /** Goes to an authorization request and does what the user does, until the browser is at the client or stuck. */
  async authorize(issuerId: string, parameters: Record<string, string>, user: Behaviour): Promise<Arrival> {
    return this.follow(`/${issuerId}/authorize?${new URLSearchParams(parameters)}`, user);
  }

  async follow(start: string, user: Behaviour): Promise<Arrival> {
    let url = start;
    for (let hops = 0; hops < 12; hops++) {
      const answer = await this.request(url);
      const location = answer.headers.get('Location');
      if (location === null)
        throw new Error(`the browser is stuck at ${url}: ${answer.status} ${answer.text}`);
      const target = new URL(location, this.#publicUrl);
      if (target.origin !== new URL(this.#publicUrl).origin)
        return { url: target, parameters: new URLSearchParams(target.search) };
      const login = /^\/(i_[^/]+)\/login\/([^/]+)$/.exec(target.pathname);
      url = login === null ? target.href : await this.answer(login[1]!, login[2]!, user);
    }
    throw new Error(`the browser is sent around: ${url}`);
  }

  /** Does what the page of an interaction would. Answers where it sends the browser on to. */
  async answer(issuerId: string, uid: string, user: Behaviour): Promise<string> {
    const { interactions } = this.#server.running.services.oidc;
    const exchange = this.exchange(`/${issuerId}/login/${uid}`);
    const loaded = await interactions.load(exchange, issuerId, uid);
    await user.onStep?.(loaded);
    if (loaded.step === 'login') {
      const { userId, amr = ['otp'] } = user;
      return interactions.finishLogin(exchange, loaded, { userId, amr, acr: mailedCodeAcr });
    }
    if (loaded.step === 'organization')
      return interactions.finishOrganization(exchange, loaded, user.organizationId ?? null);
    return user.refusesConsent
      ? interactions.abort(exchange, loaded)
      : interactions.finishConsent(exchange, loaded);
  }

  /** What a page of the login is given of this browser's request. */
  exchange(path: string): Exchange {
    const request = {
      method: 'GET',
      url: path,
      headers: { cookie: this.#cookiesFor(path) },
      socket: { encrypted: false },
    };
    const response = { getHeader: () => undefined, setHeader: () => response };
    return {
      request: request as unknown as IncomingMessage,
      response: response as unknown as ServerResponse,
      info: { id: 'req_test', ip: '203.0.113.7', userAgent: 'tests/1.0' },
    };
  }

  get #publicUrl(): string {
    return this.#server.running.services.settings.publicUrl;
  }

  #pathOf(url: string): string {
    return url.startsWith('/') ? url : url.slice(new URL(url).origin.length);
  }

  #cookiesFor(path: string): string {
    const pathname = path.split('?')[0]!;
    return [...this.cookies]
      .filter(([, cookie]) => pathname === cookie.path || pathname.startsWith(withSlash(cookie.path)))
      .sort(([, one], [, other]) => other.path.length - one.path.length)
      .map(([, { name, value }]) => `${name}=${value}`)
      .join('; ');
  }

  #keep(line: string): void {
    this.setCookies.push(line);
    const [pair = '', ...attributes] = line.split('; ');
    const [name = '', value = ''] = pair.split(/=(.*)/s);
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice('path='.length) ?? '/';
    const key = `${path} ${name}`;
    if (value === '') this.cookies.delete(key);
    else this.cookies.set(key, { name, value, path });
  }
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}

/** A code verifier and its challenge (RFC 7636). */
export function pkce(): { verifier: string; challenge: string } {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}
