import type { EdgeAnswer } from '../edge/answer.ts';
import { toAppError } from '../edge/edge.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { IssuerRecord } from '../verification/records.ts';

/** An error as OAuth has it (RFC 6749 §5.2). */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  readonly status: number;
  readonly error: string;
  readonly description: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What only the log is told. */
  readonly detail: string | undefined;

  constructor(
    status: number,
    error: string,
    description: string,
    headers: Record<string, string> = {},
    detail?: string,
  ) {
    super(`${error}: ${description}`);
    this.status = status;
    this.error = error;
    this.description = description;
    this.headers = headers;
    this.detail = detail;
  }
}

/** Where the browser was to go after a logout; a page of the error shows it as it came. */
export class UnregisteredLogoutUri extends OAuthError {
  readonly uri: string;

  constructor(uri: string) {
    super(400, 'invalid_request', 'post_logout_redirect_uri not registered');
    this.uri = uri;
  }
}

/** What an issuer has not turned on is not there; whoever runs it is told by which of its OIDC settings it would be. */
export class SwitchedOffError extends AppError {
  constructor(setting: 'registration' | 'device_flow') {
    super('not_found', {
      detail: `This issuer has this switched off: \`${setting}\` in PATCH /v1/issuers/{issuer_id}/oidc-settings turns it on.`,
    });
  }
}

/** @throws access_denied (403) where issuer or account are suspended; not_found where the account goes */
export function requireRunning(issuer: IssuerRecord): void {
  if (issuer.account.status === 'deleting') throw new AppError('not_found');
  if (issuer.account.status !== 'active')
    throw new OAuthError(403, 'access_denied', 'the account is suspended');
  if (issuer.status !== 'active') throw new OAuthError(403, 'access_denied', 'the issuer is suspended');
}

/**
 * The answer to what has failed, in the form of OAuth; what is not found stays a problem as everywhere. The log is told.
 *
 * @param headers flat list of the answer's headers, which those of the error are added to
 * @throws what is a fault of ours, and what is not found
 */
export function oauthErrorAnswer(error: unknown, info: EdgeInfo, headers: string[]): EdgeAnswer {
  const known = error instanceof OAuthError ? error : fromAppError(error);
  noteOnRequest(info, { code: known.error, reason: known.detail ?? known.description });
  headers.push('X-Request-Id', info.id, 'Pragma', 'no-cache');
  for (const [name, value] of Object.entries(known.headers)) headers.push(name, value);
  return {
    status: known.status,
    body: JSON.stringify({ error: known.error, error_description: known.description }),
  };
}

function fromAppError(error: unknown): OAuthError {
  const { code, status, detail, headers } = toAppError(error);
  if (code === 'not_found' || code === 'internal_error') throw error;
  if (code === 'unavailable')
    return new OAuthError(503, 'temporarily_unavailable', 'try again shortly', headers);
  if (code === 'rate_limited') return new OAuthError(429, 'slow_down', detail, headers);
  return new OAuthError(status, 'invalid_request', detail, headers);
}
