import { vi } from 'vitest';
import { OidcBrowser, pkce } from './oidc-browser.ts';
import { type OidcClient, redirectUri } from './oidc-client.ts';
import { codeIn, type ShownMail } from './otp-client.ts';
import type { TestServer } from './server.ts';

/** A form as a browser without scripts has it. */
export interface PageForm {
  readonly method: string;
  readonly action: string;
  /** Of its fields, what stands in them. */
  readonly fields: Readonly<Record<string, string>>;
  readonly buttons: readonly { readonly name: string; readonly value: string; readonly text: string }[];
}

/** A page that a browser has arrived at. */
export interface LoginPage {
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
  readonly title: string;
  readonly url: URL;
  readonly forms: readonly PageForm[];
}

/** Reads a page of ours: well-formed, attributes in double quotes. */
export function readPage(url: URL, status: number, headers: Headers, html: string): LoginPage {
  const forms = [...html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)].map(([, attributes = '', within = '']) => {
    const inner = within + controlsOf(html, attribute(attributes, 'id'));
    return {
      method: attribute(attributes, 'method').toUpperCase() || 'GET',
      action: new URL(attribute(attributes, 'action'), url).pathname,
      fields: Object.fromEntries(
        [...inner.matchAll(/<input([^>]*)>/g)].map(([, input = '']) => [
          attribute(input, 'name'),
          attribute(input, 'value'),
        ]),
      ),
      buttons: [...inner.matchAll(/<button([^>]*)>(.*?)<\/button>/gs)].map(([, button = '', text = '']) => ({
        name: attribute(button, 'name'),
        value: attribute(button, 'value'),
        text: unescaped(text.replaceAll(/<[^>]*>/g, '')),
      })),
    };
  });
  return {
    status,
    headers,
    html,
    url,
    forms,
    title: unescaped(/<title>(.*?)<\/title>/s.exec(html)?.[1] ?? ''),
  };
}

/** What stands elsewhere and belongs to the form of this id. */
function controlsOf(html: string, formId: string): string {
  if (formId === '') return '';
  const controls = html.matchAll(/<input[^>]*>|<button[^>]*>.*?<\/button>/gs);
  return [...controls].filter(([text]) => attribute(text, 'form') === formId).join('');
}

function attribute(attributes: string, name: string): string {
  return unescaped(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
}

function unescaped(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}

/** Somebody in front of a browser without scripts, who fills in forms and presses buttons. */
export class LoginVisitor {
  readonly browser: OidcBrowser;
  readonly #server: TestServer;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param options.headers sent along with each request */
  constructor(
    server: TestServer,
    options: { browser?: OidcBrowser; headers?: Readonly<Record<string, string>> } = {},
  ) {
    this.#server = server;
    this.browser = options.browser ?? new OidcBrowser(server);
    this.#headers = options.headers ?? {};
  }

  /** Follows redirects to a page, or to the client. */
  async go(url: string, init: RequestInit = {}): Promise<LoginPage> {
    const { publicUrl } = this.#server.running.services.settings;
    let target = new URL(url, publicUrl);
    let next: RequestInit = { ...init, headers: { ...this.#headers, ...init.headers } };
    for (let hops = 0; hops < 12; hops++) {
      if (target.origin !== new URL(publicUrl).origin) return readPage(target, 0, new Headers(), '');
      const answer = await this.browser.request(target.pathname + target.search, next);
      const location = answer.headers.get('Location');
      if (location === null) return readPage(target, answer.status, answer.headers, answer.text);
      target = new URL(location, target);
      const { method: _method, body: _body, ...rest } = next;
      next = { ...rest, headers: { ...rest.headers } };
      delete (next.headers as Record<string, string>)['Content-Type'];
    }
    throw new Error(`sent around: ${target}`);
  }

  /** Goes to the login by an authorization request of the client. */
  begin(client: OidcClient, parameters: Record<string, string> = {}, headers: Record<string, string> = {}) {
    const query = new URLSearchParams({
      client_id: client.id,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'openid profile email',
      state: 'some-state',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      ...parameters,
    });
    return this.go(`/${client.issuerId}/authorize?${query}`, { headers });
  }

  /**
   * Presses a button of a form: by default the first of the first.
   *
   * @param values what is typed, by the names of the fields; also what a hostile page would put there
   */
  submit(
    page: LoginPage,
    values: Record<string, string> = {},
    { form: formAt = 0, button: buttonAt = 0, headers = {} as Record<string, string> } = {},
  ): Promise<LoginPage> {
    const form = page.forms[formAt];
    if (form === undefined) throw new Error(`no such form on "${page.title}": ${page.html}`);
    const button = form.buttons[buttonAt];
    if (button === undefined) throw new Error(`no such button on "${page.title}"`);
    const pressed = button.name === '' ? {} : { [button.name]: button.value };
    const fields = new URLSearchParams({ ...form.fields, ...pressed, ...values }).toString();
    if (form.method === 'GET') return this.go(`${form.action}?${fields}`, { headers });
    return this.go(form.action, {
      method: 'POST',
      body: fields,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
    });
  }

  /** What has been sent to an address, newest first. */
  async mailsTo(address: string): Promise<ShownMail[]> {
    const path = `/dev/mailbox.json?to=${encodeURIComponent(address)}`;
    const answer = await this.#server.operator.api.get(path);
    if (answer.status !== 200) throw new Error(`the mailbox answered ${answer.status}: ${answer.text}`);
    return answer.body.data;
  }

  /** Asks for a code on the first page; answers the second one, and the code of the mail. */
  async askForCode(page: LoginPage, address: string): Promise<{ page: LoginPage; code: string }> {
    const before = (await this.mailsTo(address)).length;
    const next = await this.submit(page, { email: address });
    return { page: next, code: await this.nextCode(address, before) };
  }

  async nextCode(address: string, before: number): Promise<string> {
    const mails = await vi.waitFor(
      async () => {
        const all = await this.mailsTo(address);
        if (all.length <= before) throw new Error('no mail yet');
        return all;
      },
      { timeout: 10_000, interval: 10 },
    );
    return codeIn(mails[0]!);
  }

  /** Signs in by the pages. Answers what comes after the code: another page, or the client. */
  async signIn(
    client: OidcClient,
    address: string,
    parameters: Record<string, string> = {},
  ): Promise<LoginPage> {
    const { page, code } = await this.askForCode(await this.begin(client, parameters), address);
    return this.submit(page, { code });
  }
}

/** Whether the browser has been sent back to the client with a code. */
export function codeOf({ url }: LoginPage): string | null {
  return url.href.startsWith(redirectUri) ? url.searchParams.get('code') : null;
}
