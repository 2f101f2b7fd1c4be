import type { Session } from 'oidc-provider';
import type { ClientDirectory } from '../clients/client-directory.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { pageAnswer } from '../login/answer-page.ts';
import { type ErrorPages, wantsPage } from '../login/error-pages.ts';
import type { Page, Surface } from '../login/page.ts';
import { confirmLogoutPage, loggedOutPage, stillSignedInPage } from '../login/pages/logout-pages.ts';
import { surfaceOf } from '../login/surface.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { endBrowserLogin, findBrowserLogin, forgottenLogin } from './browser-login.ts';
import { CookieKeys } from './cookie-keys.ts';
import { parameter, readForm } from './form-body.ts';
import { type IdTokenHint, readIdTokenHint } from './id-token-hint.ts';
import { OAuthError, oauthErrorAnswer, requireRunning, UnregisteredLogoutUri } from './oauth-answer.ts';
import { shownIssuer } from './pages.ts';
import type { HeldProvider, OidcProviders } from './providers.ts';

interface Dependencies {
  keys: KeyDirectory;
  clients: ClientDirectory;
  providers: OidcProviders;
  errorPages: ErrorPages;
}

/** What a request to sign out has asked for, checked. */
interface Asked {
  held: HeldProvider;
  hint: IdTokenHint | null;
  /** Where the browser goes then, state and all; null for a page of ours. */
  next: string | null;
  /** Whether our page only shows the way there: anybody may have registered the client, and made the link that led here. */
  isNextShown: boolean;
  parameters: URLSearchParams;
}

const names = ['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state'] as const;

/**
 * `GET|POST /{issuer_id}/logout` (OpenID Connect RP-Initiated Logout 1.0): signs the user of this browser out, of every
 * client. Whoever shows an ID token of this very login is believed at once; anybody else's link only asks the user. Nor does
 * such a link send a browser anywhere unasked.
 */
export class LogoutEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { keys, providers } = this.#deps;
    try {
      const url = request.url ?? '';
      const issuer = await keys.findIssuer(splitIssuerPath(url).issuerId ?? '');
      if (issuer === null) throw new AppError('not_found');
      requireRunning(issuer);
      const held = await providers.of(issuer);
      const isPost = request.method === 'POST';
      const parameters = isPost ? await readForm(request) : new URLSearchParams(url.split('?')[1] ?? '');
      const confirmation = isPost ? parameter(parameters, 'confirmation') : null;
      // What comes from another site by POST comes without the cookies; as a GET it brings them.
      if (isPost && confirmation === null)
        return redirect(headers, info, `${held.runtime.url}/logout?${askedAgain(parameters).toString()}`);
      const asked = await this.#check(held, parameters, info);
      const login = await findBrowserLogin(held, request.headers.cookie);
      const show: Show = (pageOf) => {
        const surface = surfaceFor(request, held);
        headers.push('X-Request-Id', info.id);
        return pageAnswer(headers, surface, pageOf(surface), info);
      };
      // Nobody has been asked anything then.
      if (login === null)
        return done(headers, info, { ...asked, isNextShown: asked.isNextShown || asked.hint === null }, show);
      // It says what is so, and ends nothing whoever has made the link.
      if (!isPost && parameter(parameters, 'stay') !== null) return show(stillSignedInPage);
      const isMeant = isOfLogin(asked.hint, login) || isConfirmed(held, login, parameters, confirmation);
      if (!isMeant) return ask(asked, login, show);
      await endBrowserLogin(held, login, info);
      headers.push(...forgottenLogin(held));
      return done(headers, info, asked, show);
    } catch (error) {
      if (!wantsPage(request)) return oauthErrorAnswer(error, info, headers);
      const { issuerId } = splitIssuerPath(request.url ?? '');
      const { surface, page } = await this.#deps.errorPages.pageFor(request, info, issuerId ?? '', error);
      headers.push('X-Request-Id', info.id);
      return pageAnswer(headers, surface, page, info);
    }
  }

  /**
   * @throws OAuthError (400) for a hint that is none of ours, for a client that is not there, and for anywhere that it has not
   *   registered
   */
  async #check(held: HeldProvider, parameters: URLSearchParams, info: EdgeInfo): Promise<Asked> {
    const [token, clientId, uri, state] = names.map((name) => parameter(parameters, name));
    const hint = token == null ? null : await readIdTokenHint(held.runtime, token);
    if (token != null && hint === null)
      throw new OAuthError(400, 'invalid_request', 'id_token_hint is no ID token of this issuer');
    if (hint !== null && clientId != null && clientId !== hint.clientId)
      throw new OAuthError(400, 'invalid_request', 'client_id does not match the provided id_token_hint');
    const id = hint?.clientId ?? clientId ?? null;
    const { issuer } = held.runtime;
    const client = id === null ? null : await this.#deps.clients.find(issuer.id, id, issuer.account.id);
    if (client !== null) noteOnRequest(info, { clientId: client.id });
    if (id !== null && client === null)
      throw new OAuthError(400, 'invalid_client', 'client is invalid', {}, 'client not found');
    if (uri != null && client === null)
      throw new OAuthError(
        400,
        'invalid_request',
        'post_logout_redirect_uri comes with client_id or id_token_hint, which say whose it is',
      );
    if (uri != null && !client?.settings.openid.post_logout_redirect_uris.includes(uri))
      throw new UnregisteredLogoutUri(uri);
    // Whoever wants to be signed out is, and is sent to no client that is suspended.
    const next = uri == null || client?.status !== 'active' ? null : withState(uri, state ?? null);
    return { held, hint, next, isNextShown: client?.isRegistered === true, parameters };
  }
}

function askedAgain(parameters: URLSearchParams): URLSearchParams {
  const again = new URLSearchParams();
  for (const name of names) {
    const value = parameter(parameters, name);
    if (value !== null) again.set(name, value);
  }
  return again;
}

function withState(uri: string, state: string | null): string {
  if (state === null) return uri;
  const url = new URL(uri);
  url.searchParams.set('state', state);
  return url.href;
}

/** Only the client that has a session of this login holds such a token. */
function isOfLogin(hint: IdTokenHint | null, login: Session): boolean {
  return (
    hint !== null && hint.sessionId !== null && login.authorizations?.[hint.clientId]?.sid === hint.sessionId
  );
}

/** What the form of our own page carries along: nobody else knows it, and it is of no use to another login. */
function confirmationOf(held: HeldProvider, login: Session, parameters: URLSearchParams): string {
  const keys = new CookieKeys(held.runtime.secrets, held.runtime.issuer.id);
  return keys.sign(`logout ${login.uid} ${askedAgain(parameters).toString()}`);
}

function isConfirmed(
  held: HeldProvider,
  login: Session,
  parameters: URLSearchParams,
  confirmation: string | null,
): boolean {
  if (confirmation === null) return false;
  const keys = new CookieKeys(held.runtime.secrets, held.runtime.issuer.id);
  return keys.verify(`logout ${login.uid} ${askedAgain(parameters).toString()}`, confirmation);
}

/** Answers a page in the look of the issuer. */
type Show = (pageOf: (surface: Surface) => Page) => EdgeAnswer;

function surfaceFor({ headers, url = '' }: EdgeRequest, { runtime }: HeldProvider): Surface {
  const uiLocales = new URLSearchParams(url.split('?')[1] ?? '').get('ui_locales');
  return surfaceOf(shownIssuer(runtime), { uiLocales, acceptLanguage: headers['accept-language'] });
}

function ask({ held, next, isNextShown, parameters }: Asked, login: Session, show: Show): EdgeAnswer {
  const fields = {
    ...Object.fromEntries(askedAgain(parameters)),
    confirmation: confirmationOf(held, login, parameters),
  };
  const action = `${held.runtime.url}/logout`;
  const targets = { redirectUri: isNextShown ? null : next };
  return show((surface) => confirmLogoutPage(surface, { action, fields, targets }));
}

function done(headers: string[], info: EdgeInfo, { next, isNextShown }: Asked, show: Show): EdgeAnswer {
  return next === null || isNextShown
    ? show((surface) => loggedOutPage(surface, next))
    : redirect(headers, info, next);
}

function redirect(headers: string[], info: EdgeInfo, location: string): EdgeAnswer {
  headers.push('X-Request-Id', info.id, 'Location', location, 'Referrer-Policy', 'same-origin');
  return { status: 303 };
}
