import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors as libraryErrors } from 'oidc-provider';
import { toAppError } from '../edge/edge.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { Log } from '../logs/log.ts';
import type { IssuerSettings } from '../oidc/issuer-settings.ts';
import { OAuthError } from '../oidc/oauth-answer.ts';
import type { Settings } from '../settings.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { answerPage } from './answer-page.ts';
import type { Page, Surface } from './page.ts';
import { type NoticeName, noticePage } from './pages/notice-page.ts';
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
  readonly headers?: Readonly<Record<string, string>>;
}

/** Errors, for people who meet them in a browser. */
export class ErrorPages {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Answers what has failed at this issuer. Never rejects. */
  async answer(
    exchange: { request: IncomingMessage; response: ServerResponse; info: EdgeInfo },
    issuerId: string,
    error: unknown,
  ): Promise<void> {
    const { response, info } = exchange;
    const shown = shownFor(error);
    if (shown.status >= 500 && shown.name === 'failed')
      this.#deps.log.error({ err: error, request_id: info.id }, 'request failed');
    const surface = await this.#surface(exchange.request, issuerId);
    const isUnknown = surface.brand === null && shown.name === 'over';
    const page = noticePage(surface, isUnknown ? 'unknownIssuer' : shown.name, {
      ...shown,
      requestId: info.id,
    });
    this.write(exchange, surface, page);
  }

  write(
    { response, info }: { response: ServerResponse; info: EdgeInfo },
    surface: Surface,
    page: Page,
  ): void {
    if (response.headersSent || response.destroyed) return;
    answerPage(response, surface, page, { requestId: info.id, isSecure: info.isSecure });
  }

  /** As much as can be known of the issuer, whatever does not work. */
  async #surface({ headers }: IncomingMessage, issuerId: string): Promise<Surface> {
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
  if (error instanceof OAuthError) {
    if (error.status === 403) return { name: 'suspended', status: 403 };
    if (error.status === 429 || error.status === 503)
      return { name: 'unavailable', status: error.status, headers: retryAfterOf(error.headers) };
    return { name: 'malformed', status: error.status, headers: error.headers };
  }
  if (error instanceof libraryErrors.OIDCProviderError) {
    const { statusCode: status } = error;
    if (status === 429 || status === 503)
      return { name: 'unavailable', status, headers: retryAfterOf({}) };
    return { name: 'over', status: 404 };
  }
  const { code, status, headers } = toAppError(error);
  if (code === 'unavailable' || code === 'rate_limited')
    return { name: 'unavailable', status, headers: retryAfterOf(headers) };
  if (status >= 500) return { name: 'failed', status };
  return code === 'not_found' ? { name: 'over', status } : { name: 'malformed', status, headers };
}

function retryAfterOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { 'Retry-After': headers['Retry-After'] ?? '1' };
}
