import { expect } from 'vitest';
import { type LoginPage, LoginVisitor } from '../harness/login-pages.ts';
import { type RawAnswer, type RawRequest, send } from '../harness/raw-http.ts';
import type { TestServer } from '../harness/server.ts';

/** Where a browser has arrived: a page of the relying party, or of the login. */
export interface Visit {
  readonly url: URL;
  readonly status: number;
  readonly text: string;
  /** Of the login; null at the relying party. */
  readonly page: LoginPage | null;
}

/** A browser without scripts that goes to and fro between a relying party and the login, and shows neither the other's cookies. */
export class PartyBrowser {
  readonly visitor: LoginVisitor;
  readonly #server: TestServer;
  /** Of the relying party, by host. */
  readonly #cookies = new Map<string, Map<string, string>>();

  constructor(server: TestServer) {
    this.#server = server;
    this.visitor = new LoginVisitor(server);
  }

  /** Follows redirects to a page that has none. */
  async go(url: string, init: RawRequest = {}): Promise<Visit> {
    const home = new URL(this.#server.running.services.settings.publicUrl).origin;
    let target = new URL(url);
    let next = init;
    for (let hops = 0; hops < 12; hops++) {
      if (target.origin === home) {
        const page = await this.visitor.go(target.href);
        if (page.status !== 0) return { url: page.url, status: page.status, text: page.html, page };
        target = page.url;
      }
      const { status, headers, text } = await this.#ask(target, next);
      const { location } = headers;
      if (location === undefined) return { url: target, status, text, page: null };
      target = new URL(location, target);
      next = {};
    }
    throw new Error(`the browser is sent around: ${target}`);
  }

  /** Presses the first button of the login's page, and goes where that leads. */
  async press({ page }: Visit, values: Record<string, string> = {}): Promise<Visit> {
    if (page === null) throw new Error('that is no page of the login');
    return this.#on(await this.visitor.submit(page, values));
  }

  /** Signs in by the login that this URL of the relying party leads to. Answers what comes after the code. */
  async signIn(start: string, address: string, init: RawRequest = {}): Promise<Visit> {
    const { page, text, url } = await this.go(start, init);
    if (page === null) throw new Error(`there was no login at ${url}: ${text}`);
    expect([page.status, page.title]).toEqual([200, expect.stringContaining('Sign in')]);
    const asked = await this.visitor.askForCode(page, address);
    return this.#on(await this.visitor.submit(asked.page, { code: asked.code }));
  }

  async #on(page: LoginPage): Promise<Visit> {
    return page.status === 0
      ? this.go(page.url.href)
      : { url: page.url, status: page.status, text: page.html, page };
  }

  async #ask(url: URL, init: RawRequest): Promise<RawAnswer> {
    const jar = this.#cookies.get(url.hostname) ?? new Map<string, string>();
    this.#cookies.set(url.hostname, jar);
    const answer = await send(url.href, {
      ...init,
      headers: {
        Accept: 'text/html',
        // Some send nobody to a login who could not show it.
        'Sec-Fetch-Mode': 'navigate',
        'Sec-Fetch-Dest': 'document',
        ...(jar.size > 0 && { Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') }),
        ...init.headers,
      },
    });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [pair = '', ...attributes] = line.split(';');
      const [name = '', value = ''] = pair.split(/=(.*)/s);
      if (value === '' || attributes.some(isOver)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }
}

function isOver(attribute: string): boolean {
  const [name = '', value = ''] = attribute.trim().split(/=(.*)/s);
  if (/^max-age$/i.test(name)) return Number(value) <= 0;
  return /^expires$/i.test(name) && Date.parse(value) <= Date.now();
}
