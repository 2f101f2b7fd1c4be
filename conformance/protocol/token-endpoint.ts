import { type HttpAnswer, hasMediaType, parseObject, send } from '../browser/http.ts';
import type { ClientConfig } from '../config.ts';
import type { Trial } from '../suite/trial.ts';
import type { ParameterChanges } from './authorization.ts';
import { checkErrorText } from './error-text.ts';

/** The answer of a token endpoint, and its JSON where it is an object. */
export interface TokenAnswer {
  readonly http: HttpAnswer;
  readonly members: Readonly<Record<string, unknown>>;
}

/** What a successful answer granted. */
export interface Tokens {
  readonly accessToken: string;
  readonly idToken: string | undefined;
  readonly refreshToken: string | undefined;
  readonly scope: string | undefined;
}

/** How a client says who it is; a module that attacks this gives a way of its own. */
export interface Authentication {
  readonly header?: string;
  readonly form?: Readonly<Record<string, string>>;
}

/** The way a client is registered for (RFC 6749 §2.3.1; both parts are form-encoded before base64). */
export function authenticationOf(client: ClientConfig): Authentication {
  const { clientId, clientSecret, authMethod } = client;
  return authMethod === 'client_secret_basic'
    ? { header: basic(clientId, clientSecret) }
    : { form: { client_id: clientId, client_secret: clientSecret } };
}

/** The value of `Authorization` for `client_secret_basic`. */
export function basic(clientId: string, clientSecret: string): string {
  const encode = (part: string) => new URLSearchParams({ part }).toString().slice('part='.length);
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`;
}

/** Asks the token endpoint, whatever it answers. */
export async function askForTokens(
  trial: Trial,
  authentication: Authentication,
  parameters: ParameterChanges,
): Promise<TokenAnswer> {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...parameters, ...authentication.form })) {
    if (value !== undefined) form.append(name, value);
  }
  const headers: Record<string, string> = { accept: 'application/json' };
  if (authentication.header !== undefined) headers.authorization = authentication.header;
  const url = trial.metadata.url('token_endpoint');
  const http = await send({ url, method: 'POST', headers, form });
  return { http, members: parseObject(http.body) ?? {} };
}

/** Redeems a code as the client that asked for it. */
export function redeem(
  trial: Trial,
  client: ClientConfig,
  code: string,
  changes: ParameterChanges = {},
): Promise<TokenAnswer> {
  return askForTokens(trial, authenticationOf(client), {
    grant_type: 'authorization_code',
    code,
    redirect_uri: client.redirectUri,
    ...changes,
  });
}

/** The tokens of a successful answer, whose form is checked (RFC 6749 §5.1, Core §3.1.3.3). */
export function tokensFrom(trial: Trial, { http, members }: TokenAnswer): Tokens {
  trial.require(
    http.status === 200,
    `the token endpoint answers ${http.status} ${text(members.error) ?? ''} ${text(members.error_description) ?? ''}`.trim(),
  );
  checkJson(trial, http);
  trial.check(
    /(^|[\s,])no-store([\s,]|$)/i.test(http.field('cache-control')),
    'the answer may be stored: it has no Cache-Control: no-store (RFC 6749 §5.1)',
  );
  const accessToken = text(members.access_token) ?? '';
  trial.require(accessToken !== '', 'the token endpoint gives no access_token (RFC 6749 §5.1)');
  trial.check(
    /^[\x20-\x7e]+$/.test(accessToken),
    'access_token has characters that it must not have (RFC 6749 appendix A.12)',
  );
  trial.check(
    text(members.token_type)?.toLowerCase() === 'bearer',
    'token_type is not Bearer (Core §3.1.3.3)',
  );
  const { expires_in: expiresIn } = members;
  trial.check(
    expiresIn === undefined || (typeof expiresIn === 'number' && expiresIn > 0),
    'expires_in is no positive number (RFC 6749 §5.1)',
  );
  const refreshToken = text(members.refresh_token);
  trial.check(
    refreshToken === undefined || /^[\x20-\x7e]+$/.test(refreshToken),
    'refresh_token has characters that it must not have (RFC 6749 appendix A.17)',
  );
  return { accessToken, idToken: text(members.id_token), refreshToken, scope: text(members.scope) };
}

/** Checks that the token endpoint refuses, how, and that it gives nothing away (RFC 6749 §5.2). */
export function checkRefusal(
  trial: Trial,
  { http, members }: TokenAnswer,
  { of, errors, statuses = [400] }: { of: string; errors: readonly string[]; statuses?: readonly number[] },
): void {
  for (const token of ['access_token', 'id_token', 'refresh_token']) {
    trial.check(members[token] === undefined, `${of} is answered with ${token}`);
  }
  trial.check(
    statuses.includes(http.status),
    `${of} is answered with status ${http.status}, expected ${statuses.join(' or ')} (RFC 6749 §5.2)`,
  );
  checkJson(trial, http);
  const error = text(members.error) ?? '';
  trial.check(
    errors.includes(error),
    `${of} is refused with ${error === '' ? 'no error' : error}, expected ${errors.join(' or ')} (RFC 6749 §5.2)`,
  );
  checkErrorText(trial, (name) => text(members[name]), 'RFC 6749 §5.2');
}

function checkJson(trial: Trial, http: HttpAnswer): void {
  trial.check(
    hasMediaType(http, 'application/json'),
    `the token endpoint's answer is not application/json but ${http.field('content-type') || 'untyped'} (RFC 6749 §5)`,
  );
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
