import { authenticateChallenge, type EdgeAnswer } from '../edge/answer.ts';
import { toAppError } from '../edge/edge.ts';
import { AppError } from '../errors.ts';
import { problemContentType, toProblem } from '../http/problem.ts';
import type { ErrorFormat, KeyProfile } from '../key-profiles/key-profile.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import { challengeOf } from '../verification/challenge.ts';
import { type RefusalCode, type RefusalDetails, refusals, renderRefusal } from '../verification/refusals.ts';

/** Why a request to sign in was refused. Nothing of it is left but what has been counted. */
export class OtpRefusal extends Error {
  override readonly name = 'OtpRefusal';
  readonly code: RefusalCode;
  readonly details: RefusalDetails;

  constructor(code: RefusalCode, details: RefusalDetails = {}) {
    super(code);
    this.code = code;
    this.details = details;
  }
}

interface Context {
  /** Of the key's issuer; null where no key, or one that nobody knows, has come. */
  profile: KeyProfile | null;
  requestId: string;
  docsBaseUrl: string;
  /** Flat list of the answer's headers, which takes those of the error. */
  headers: string[];
}

/**
 * The answer to a request that failed, in the dialect of the key's profile: `flat` as long as no key is known.
 *
 * @throws what is no refusal and no fault of the request
 */
export function answerRefusal(error: unknown, context: Context): EdgeAnswer {
  const { profile, requestId, docsBaseUrl, headers } = context;
  const refusal = asRefusal(error);
  const format = profile?.error_format ?? 'flat';
  if (refusal === null) return answerFault(error, format, context);
  const { status } = refusals[refusal.code];
  const { retryAfterSeconds, tenantHeader = profile?.tenant_header?.name } = refusal.details;
  headers.push('X-Request-Id', requestId);
  if (status === 401)
    headers.push('WWW-Authenticate', profile === null ? authenticateChallenge : challengeOf(profile));
  if (status === 503) headers.push('Retry-After', waitOf(error));
  if (status === 429 && retryAfterSeconds !== undefined && !headers.includes('Retry-After'))
    headers.push('Retry-After', String(retryAfterSeconds));
  if (format === 'problem' && error instanceof AppError && error.errors !== undefined)
    return problem(error, requestId, docsBaseUrl);
  const { contentType, body } = renderRefusal(format, refusal.code, {
    ...refusal.details,
    tenantHeader,
    requestId,
    docsBaseUrl,
  });
  return { status, body, contentType };
}

/** By which code a request that failed is known. */
export function codeOf(error: unknown): string {
  return (asRefusal(error) ?? toAppError(error)).code;
}

function waitOf(error: unknown): string {
  return (error instanceof AppError && error.headers['Retry-After']) || '1';
}

function asRefusal(error: unknown): OtpRefusal | null {
  if (error instanceof OtpRefusal) return error;
  if (isUnavailable(error)) return new OtpRefusal('unavailable');
  if (error instanceof AppError && error.code in refusals)
    return new OtpRefusal(
      error.code as RefusalCode,
      // The others say in the table all that they have to say.
      error.code === 'invalid_request' || error.code === 'unavailable' ? { message: error.detail } : {},
    );
  return null;
}

/** What is wrong with a request before anybody looks at what it says: no JSON, too much of it, another type. */
function answerFault(
  error: unknown,
  format: ErrorFormat,
  { requestId, docsBaseUrl, headers }: Context,
): EdgeAnswer {
  if (!(error instanceof AppError) || error.status >= 500) throw error;
  headers.push('X-Request-Id', requestId);
  for (const [name, value] of Object.entries(error.headers)) headers.push(name, value);
  if (format === 'problem') return problem(error, requestId, docsBaseUrl);
  const { code, detail: message, status } = error;
  const body =
    format === 'flat'
      ? { error: message, code: code.toUpperCase() }
      : { error: { code, message, type: 'invalid_request_error' } };
  return { status, body: JSON.stringify(body), contentType: 'application/json' };
}

function problem(error: AppError, requestId: string, docsBaseUrl: string): EdgeAnswer {
  return {
    status: error.status,
    body: JSON.stringify(toProblem(error, requestId, docsBaseUrl)),
    contentType: problemContentType,
  };
}
