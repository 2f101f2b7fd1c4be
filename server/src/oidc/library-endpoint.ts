import type { IncomingMessage, ServerResponse } from 'node:http';
import { type EdgeAnswer, writeAnswer } from '../edge/answer.ts';
import type { RawEndpoint } from '../edge/edge.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { type ErrorPages, wantsPage } from '../login/error-pages.ts';
import type { Settings } from '../settings.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { FlowCaps } from './flow-caps.ts';
import { readForm } from './form-body.ts';
import { paths } from './metadata.ts';
import type { NotFoundReasons } from './not-found-reasons.ts';
import { OAuthError, oauthErrorAnswer, requireRunning, SwitchedOffError } from './oauth-answer.ts';
import type { OidcProviders } from './providers.ts';

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
  providers: OidcProviders;
  errorPages: ErrorPages;
  flowCaps: FlowCaps;
  notFoundReasons: NotFoundReasons;
}

/** The library takes as much of a form. */
const maxBodyBytes = 56 * 1024;
/** Where what is sent is kept, and anybody with the id of a public client may send it. */
const keeping: ReadonlySet<string> = new Set([
  paths.pushed_authorization_request,
  paths.device_authorization,
]);
/** Of what is kept: as much as fits into the head of a request, where it would stand otherwise. */
const maxKeptBytes = 16 * 1024;

/** Hands a request for an issuer to the library. */
export class LibraryEndpoint implements RawEndpoint {
  readonly isRaw = true;
  readonly #deps: Dependencies;
  readonly #base: URL;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#base = new URL(deps.settings.publicUrl);
  }

  async handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void> {
    const headers: string[] = [];
    const whole = request.url ?? '';
    try {
      const { issuerId, rest } = splitWithQuery(whole);
      this.#deps.flowCaps.count(request.method, rest, info.ip);
      const issuer = await this.#deps.keys.findIssuer(issuerId);
      if (issuer === null) throw new AppError('not_found');
      requireRunning(issuer);
      requireBoundedBody(request, rest);
      const { callback, runtime } = await this.#deps.providers.of(issuer);
      if (rest.startsWith(paths.code_verification) && !runtime.oidc.device_flow)
        throw new SwitchedOffError('device_flow');
      this.#rewrite(request, { issuerId, rest }, info);
      response.setHeader('X-Request-Id', info.id);
      await callback(request, response);
      await this.#deps.notFoundReasons.noteFor(runtime, info);
    } catch (error) {
      if (response.headersSent) throw error;
      if (wantsPage(request) && pagesOfPeople.test(whole)) {
        const { issuerId } = splitWithQuery(whole);
        await this.#deps.errorPages.answer({ request, response, info }, issuerId, error);
      } else this.#refuse(response, error, info, headers);
    }
  }

  /**
   * The library makes URLs and cookies by what a request says of where it went. Nothing of that comes from the request:
   * neither its Host nor what proxies, or whoever plays one, have added.
   */
  #rewrite(
    request: IncomingMessage,
    { issuerId, rest }: { issuerId: string; rest: string },
    info: EdgeInfo,
  ): void {
    const { headers } = request;
    const base = this.#base;
    for (const name of Object.keys(headers)) if (name.startsWith('x-forwarded')) delete headers[name];
    delete headers.forwarded;
    headers.host = base.host;
    headers['x-forwarded-host'] = base.host;
    headers['x-forwarded-proto'] = base.protocol.slice(0, -1);
    headers['x-forwarded-for'] = info.ip;
    const mounted = request as IncomingMessage & { originalUrl?: string };
    mounted.originalUrl = `${base.pathname === '/' ? '' : base.pathname}/${issuerId}${rest}`;
    request.url = rest;
  }

  #refuse(response: ServerResponse, error: unknown, info: EdgeInfo, headers: string[]): void {
    const answer: EdgeAnswer = oauthErrorAnswer(error, info, headers);
    writeAnswer(response, headers, answer);
  }
}

/** @throws invalid_request (413; 411 where it is not said how long what is kept is) */
function requireBoundedBody({ headers }: IncomingMessage, path: string): void {
  const length = headers['content-length'];
  const isKept = keeping.has(path.split('?', 1)[0]!);
  if (isKept && length === undefined && headers['transfer-encoding'] !== undefined)
    throw new OAuthError(411, 'invalid_request', 'send Content-Length', { Connection: 'close' });
  if (Number(length ?? 0) > (isKept ? maxKeptBytes : maxBodyBytes))
    throw new OAuthError(413, 'invalid_request', 'the body is too large', { Connection: 'close' });
}

/** Where browsers go themselves, and not the programs of clients. */
const pagesOfPeople = /^\/[^/]*\/(?:authorize|device)(?:[/?]|$)/;

function splitWithQuery(url: string): { issuerId: string; rest: string } {
  const queryAt = url.indexOf('?');
  const { issuerId, rest } = splitIssuerPath(url);
  return { issuerId: issuerId ?? '', rest: queryAt === -1 ? rest : rest + url.slice(queryAt) };
}

/** More than what an authorization request takes makes a URL that nothing on its way is sure to pass on. */
const maxQueryBytes = 12 * 1024;

/**
 * `POST /authorize` (OpenID Connect Core 1.0 §3.1.2.1): sent on as a GET, with which the browser sends the cookies that it
 * keeps back from what comes from another site.
 */
export class PostedAuthorization implements RawEndpoint {
  readonly isRaw = true;
  readonly #deps: Pick<Dependencies, 'settings' | 'errorPages'>;

  constructor(deps: Pick<Dependencies, 'settings' | 'errorPages'>) {
    this.#deps = deps;
  }

  async handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void> {
    const { settings, errorPages } = this.#deps;
    const headers: string[] = [];
    const { issuerId } = splitWithQuery(request.url ?? '');
    try {
      const query = (await readForm(request)).toString();
      if (query.length > maxQueryBytes)
        throw new OAuthError(400, 'invalid_request', 'the request is too long; push it (RFC 9126)');
      headers.push(
        'X-Request-Id',
        info.id,
        'Location',
        `${settings.publicUrl}/${issuerId}/authorize?${query}`,
        'Referrer-Policy',
        'no-referrer',
      );
      writeAnswer(response, headers, { status: 303 });
    } catch (error) {
      if (wantsPage(request)) await errorPages.answer({ request, response, info }, issuerId, error);
      else writeAnswer(response, headers, oauthErrorAnswer(error, info, headers));
    }
  }
}
