import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors as libraryErrors } from 'oidc-provider';
import { toAppError } from '../edge/edge.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { Log } from '../logs/log.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { IssuerSettings } from '../oidc/issuer-settings.ts';
import { noteRefusal } from '../oidc/library-errors.ts';
import { OAuthError, SwitchedOffError, UnregisteredLogoutUri } from '../oidc/oauth-answer.ts';
import type { Settings } from '../settings.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { writePage } from './answer-page.ts';
import type { Page, Surface } from './page.ts';
import { type NoticeName, noticePage, type Received } from './pages/notice-page.ts';
import { plainSurface, surfaceOf } from './surface.ts';

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
  issuerSettings: IssuerSettings;
  log: Log;
}

/** What kind of page an error becomes. */
interface Shown {
  readonly name: NoticeName;
  readonly status: number;
  readonly detail?: string;
  readonly received?: Received;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Whether whoever asks is a browser that shows pages (RFC 9110 §12.5.1); programs are answered as OAuth has it. */
export function wantsPage({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return /\btext\/html\b/i.test(headers.accept ?? '');
}

/** Errors, for people who meet them in a browser. */
export class ErrorPages {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** The page for what has failed at this issuer. The log is told; a fault of ours has a line of its own. Never rejects. */
  async pageFor(
    request: Pick<IncomingMessage, 'headers'>,
    info: EdgeInfo,
    issuerId: string,
    error: unknown,
  ): Promise<{ surface: Surface; page: Page }> {
    const shown = shownFor(error);
    noteError(info, error);
    if (shown.name === 'failed') this.#deps.log.error({ err: error, request_id: info.id }, 'request failed');
    const surface = await this.#surface(request, issuerId);
    const isUnknown = surface.brand === null && shown.name === 'over';
    const name = isUnknown ? 'unknownIssuer' : shown.name;
    return { surface, page: noticePage(surface, name, { ...shown, requestId: info.id }) };
  }

  /** Answers with it. */
  async answer(
    { request, response, info }: { request: IncomingMessage; response: ServerResponse; info: EdgeInfo },
    issuerId: string,
    error: unknown,
  ): Promise<void> {
    const { surface, page } = await this.pageFor(request, info, issuerId, error);
    writePage(response, surface, page, info);
  }

  /** As much as can be known of the issuer, whatever does not work. */
  async #surface({ headers }: Pick<IncomingMessage, 'headers'>, issuerId: string): Promise<Surface> {
    const { settings, keys, issuerSettings } = this.#deps;
    const wishes = { uiLocales: null, acceptLanguage: headers['accept-language'] };
    const url = issuerUrl(settings, issuerId);
    try {
      const issuer = await keys.findIssuer(issuerId);
      if (issuer === null || issuer.account.status === 'deleting') return plainSurface(url, wishes);
      const known = await issuerSettings.of(issuer);
      if (known === null) return plainSurface(url, wishes);
      return surfaceOf({ ...known, environment: issuer.environment, url }, wishes);
    } catch {
      return plainSurface(url, wishes);
    }
  }
}

function shownFor(error: unknown): Shown {
  if (error instanceof OAuthError) return shownForOAuth(error);
  if (error instanceof libraryErrors.OIDCProviderError) {
    const { statusCode: status, error: code, error_description: description } = error;
    if (status === 429 || status === 503) return { name: 'unavailable', status, headers: retryAfterOf({}) };
    return { name: 'badRequest', status, detail: detailOf(code, description) };
  }
  if (error instanceof SwitchedOffError)
    return { name: 'badRequest', status: error.status, detail: error.detail };
  const { code, status, headers } = toAppError(error);
  if (code === 'unavailable' || code === 'rate_limited')
    return { name: 'unavailable', status, headers: retryAfterOf(headers) };
  if (status >= 500) return { name: 'failed', status };
  return code === 'not_found' ? { name: 'over', status } : { name: 'malformed', status, headers };
}

function noteError(info: EdgeInfo, error: unknown): void {
  if (error instanceof libraryErrors.OIDCProviderError) noteRefusal(info, error);
  else if (error instanceof OAuthError)
    noteOnRequest(info, { code: error.error, reason: error.detail ?? error.description });
  else {
    const { code, detail } = toAppError(error);
    noteOnRequest(info, { code, reason: detail });
  }
}

function shownForOAuth(refusal: OAuthError): Shown {
  const { status, error, description, headers } = refusal;
  if (status === 403) return { name: 'suspended', status };
  if (status === 429 || status === 503)
    return { name: 'unavailable', status, headers: retryAfterOf(headers) };
  return {
    name: 'badRequest',
    status,
    headers,
    detail: detailOf(error, description),
    ...(refusal instanceof UnregisteredLogoutUri && {
      received: { name: 'post_logout_redirect_uri', value: refusal.uri },
    }),
  };
}

/** What the developer of the client has to know. */
export function detailOf(error: string, description: string | undefined): string {
  return description === undefined ? error : `${error}: ${description}`;
}

function retryAfterOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { 'Retry-After': headers['Retry-After'] ?? '1' };
}
