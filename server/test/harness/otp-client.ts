import { vi } from 'vitest';
import { type RawAnswer, type RawRequest, send } from './raw-http.ts';
import type { TestServer } from './server.ts';

/** A mail as a mailbox shows it. */
export interface ShownMail {
  id: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  created_at: string;
}

interface Asking {
  headers?: RawRequest['headers'];
  members?: Record<string, unknown>;
}

let lastAddress = 0;

/** An address that nobody has used before in this run. */
export function newAddress(name = 'someone'): string {
  lastAddress++;
  return `${name}-${lastAddress}@example.com`;
}

/** The code in a mail, as programs take it: the first run of 6 to 8 digits in its text. */
export function codeIn({ text }: Pick<ShownMail, 'text'>): string {
  const code = /\d{6,8}/.exec(text)?.[0];
  if (code === undefined) throw new Error(`no code in ${text}`);
  return code;
}

/** An application that has its users sign in by e-mailed code. */
export class SignIn {
  readonly #server: Pick<TestServer, 'url' | 'operator'>;
  readonly #headers: Record<string, string>;
  readonly #base: string;

  /**
   * @param options.headers what carries the key
   * @param options.issuerId puts it into the path
   */
  constructor(
    server: Pick<TestServer, 'url' | 'operator'>,
    options: { headers: Record<string, string>; issuerId?: string },
  ) {
    this.#server = server;
    this.#headers = options.headers;
    this.#base = options.issuerId === undefined ? '' : `/${options.issuerId}`;
  }

  /** With a key by Bearer. */
  static withKey(server: Pick<TestServer, 'url' | 'operator'>, { secret }: { secret: string }): SignIn {
    return new SignIn(server, { headers: { Authorization: `Bearer ${secret}` } });
  }

  request(email: string, asking: Asking = {}): Promise<RawAnswer> {
    return this.post('request-otp', { email, ...asking.members }, asking.headers);
  }

  verify(email: string, otp: string, asking: Asking = {}): Promise<RawAnswer> {
    return this.post('verify-otp', { email, otp, ...asking.members }, asking.headers);
  }

  post(operation: string, body: unknown, headers: RawRequest['headers'] = {}): Promise<RawAnswer> {
    return send(`${this.#server.url}${this.#base}/auth/${operation}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...this.#headers, ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  /** What has been sent to the address, by a sandbox issuer too, newest first. */
  async mailsTo(address: string): Promise<ShownMail[]> {
    const path = `/dev/mailbox.json?to=${encodeURIComponent(address)}`;
    const answer = await this.#server.operator.api.get(path);
    if (answer.status !== 200) throw new Error(`the mailbox answered ${answer.status}: ${answer.text}`);
    return answer.body.data;
  }

  /** Asks for a code and takes it out of the mail. */
  async code(email: string, asking: Asking = {}): Promise<string> {
    const before = (await this.mailsTo(email)).length;
    const answer = await this.request(email, asking);
    if (answer.status !== 200) throw new Error(`request-otp answered ${answer.status}: ${answer.text}`);
    return this.nextCode(email, before);
  }

  /** The code of the mail that comes after so many. */
  async nextCode(email: string, before: number): Promise<string> {
    const mails = await vi.waitFor(
      async () => {
        const all = await this.mailsTo(email);
        if (all.length <= before) throw new Error('no mail yet');
        return all;
      },
      { timeout: 10_000, interval: 10 },
    );
    return codeIn(mails[0]!);
  }

  /** Signs a user in; answers what that came to. */
  // biome-ignore lint/suspicious/noExplicitAny: see `ApiAnswer`.
  async signIn(email: string, asking: Asking = {}): Promise<any> {
    const answer = await this.verify(email, await this.code(email, asking), asking);
    if (answer.status !== 200) throw new Error(`verify-otp answered ${answer.status}: ${answer.text}`);
    return answer.body;
  }
}

/** Codes that are not this one, each another, as long as it is. */
export function wrongCodes(code: string, count: number): string[] {
  const modulus = 10 ** code.length;
  return Array.from({ length: count }, (_, index) =>
    String((Number(code) + index + 1) % modulus).padStart(code.length, '0'),
  );
}
