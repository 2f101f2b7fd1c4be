import { createHash } from 'node:crypto';
import type { Arrival } from '../browser/browser.ts';
import type { Journey } from '../browser/login-driver.ts';
import type { ClientConfig } from '../config.ts';
import type { Trial, Visitor } from '../suite/trial.ts';
import { checkErrorText } from './error-text.ts';

/** An authorization request, and what its answer will be held against. */
export interface AuthorizationRequest {
  readonly client: ClientConfig;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Parameters to add to a request or, where undefined, to leave out of it. */
export type ParameterChanges = Readonly<Record<string, string | undefined>>;

/** A request for a code with state and nonce (Core §3.1.2.1), changed as a module wants it. */
export function authorizationRequest(
  trial: Trial,
  changes: ParameterChanges = {},
  client = trial.config.client,
): AuthorizationRequest {
  const wanted: ParameterChanges = {
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    scope: 'openid',
    response_type: 'code',
    state: trial.random(),
    nonce: trial.random(),
    ...changes,
  };
  const entries = Object.entries(wanted).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { client, parameters: Object.fromEntries(entries) };
}

/** Sends a visitor to the authorization endpoint, and past whatever pages come. */
export function authorize(trial: Trial, visitor: Visitor, request: AuthorizationRequest): Promise<Journey> {
  const url = trial.metadata.url('authorization_endpoint');
  for (const [name, value] of Object.entries(request.parameters)) url.searchParams.append(name, value);
  return trial.journey(visitor, url);
}

/** The challenge of a verifier (RFC 7636 §4.2). */
export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url');
}

/** Where the provider sent the browser back to; the module ends when it did not. */
export function arrivalOf(trial: Trial, { client }: AuthorizationRequest, { landing }: Journey): Arrival {
  if (landing.kind === 'page') {
    const { answer, forms } = landing.page;
    const what = forms.length > 0 ? 'shows a page' : 'shows a page with no form';
    trial.require(
      false,
      `the provider ${what} (${answer.status} at ${answer.url.pathname}) instead of coming back to redirect_uri (Core §3.1.2.5)`,
    );
  }
  const { url } = landing;
  trial.require(
    `${url.origin}${url.pathname}` === originAndPath(client.redirectUri),
    `the provider sends the browser to ${url.origin}${url.pathname}, which is not redirect_uri (Core §3.1.2.5)`,
  );
  return landing;
}

/** The code of a successful answer, whose other parameters are checked (Core §3.1.2.5, RFC 9207 §2). */
export function codeFrom(trial: Trial, request: AuthorizationRequest, journey: Journey): string {
  const arrival = arrivalOf(trial, request, journey);
  const { parameters } = arrival;
  const error = parameters.get('error');
  trial.require(
    error === null,
    `the authorization endpoint refuses with ${error}: ${parameters.get('error_description') ?? 'no description'}`,
  );
  checkStateAndIssuer(trial, request, parameters);
  trial.check(
    arrival.fragment.size === 0,
    'the answer to response_type=code has a fragment (Core §3.1.2.5, RFC 6749 §4.1.2)',
  );
  const code = parameters.get('code') ?? '';
  trial.require(code !== '', 'the answer has no code (Core §3.1.2.5)');
  trial.check(parameters.getAll('code').length === 1, 'the answer has more than one code (RFC 6749 §3.1)');
  return code;
}

/** The error of a refusal that came back to the client, whose other parameters are checked (Core §3.1.2.6). */
export function errorFrom(
  trial: Trial,
  request: AuthorizationRequest,
  journey: Journey,
  expected: readonly string[],
): string {
  const { parameters, fragment } = arrivalOf(trial, request, journey);
  checkStateAndIssuer(trial, request, parameters);
  for (const token of ['code', 'access_token', 'id_token']) {
    trial.check(
      !parameters.has(token) && !fragment.has(token),
      `a refusal carries ${token} (Core §3.1.2.6): it must grant nothing`,
    );
  }
  const error = parameters.get('error') ?? '';
  trial.check(
    expected.includes(error),
    `the error is ${error === '' ? 'missing' : error}, expected ${expected.join(' or ')} (Core §3.1.2.6)`,
  );
  checkErrorText(trial, (name) => parameters.get(name) ?? undefined, 'RFC 6749 §4.1.2.1');
  const known = ['error', 'error_description', 'error_uri', 'state', 'iss'];
  const unknown = [...parameters.keys()].filter((name) => !known.includes(name));
  trial.advise(unknown.length === 0, `a refusal carries ${unknown.join(', ')}, which no specification knows`);
  return error;
}

/** Errors that say: not without showing the user a page (Core §3.1.2.6). */
export const needsUser = [
  'login_required',
  'interaction_required',
  'account_selection_required',
  'consent_required',
] as const;

function checkStateAndIssuer(trial: Trial, request: AuthorizationRequest, parameters: URLSearchParams): void {
  const { state } = request.parameters;
  trial.check(
    state === undefined ? !parameters.has('state') : parameters.getAll('state').join() === state,
    state === undefined
      ? 'the answer has a state, though the request had none (RFC 6749 §4.1.2)'
      : 'the answer does not have the state of the request, unchanged (RFC 6749 §4.1.2)',
  );
  const iss = parameters.get('iss');
  trial.check(
    iss === null || iss === trial.metadata.issuer,
    'iss of the answer is not the issuer of the metadata (RFC 9207 §2.3)',
  );
}

function originAndPath(uri: string): string {
  const url = new URL(uri);
  return `${url.origin}${url.pathname}`;
}
