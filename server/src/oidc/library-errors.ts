import { errors, type OIDCProviderError, Provider } from 'oidc-provider';
import { toAppError } from '../edge/edge.ts';
import { noteOnRequest } from '../logs/request-note.ts';

/**
 * An error of ours as the library takes one: what we can't do at the moment is `temporarily_unavailable` (503), and what
 * hangs under something that is gone is an invalid grant. Whatever is a fault of ours stays what it is.
 */
export function asLibraryError(error: unknown): unknown {
  if (error instanceof errors.OIDCProviderError) return error;
  const { code, headers } = toAppError(error);
  if (code === 'not_found') return new errors.InvalidGrant('what it belongs to is gone');
  if (code === 'unavailable') {
    const retryAfter = headers['Retry-After'] ?? '1';
    return statusError(503, 'temporarily_unavailable', 'try again shortly', retryAfter);
  }
  if (code === 'rate_limited')
    return statusError(
      429,
      'slow_down',
      'too many refreshes of this session',
      headers['Retry-After'] ?? '60',
    );
  return error;
}

/** What was asked for may have been done: whoever asks for it again may be taken for a thief, so nobody is told to (503). */
export function outcomeUnknown(): OIDCProviderError {
  const description =
    'whether it has been used is not known; have the user sign in again where it is refused';
  return statusError(503, 'temporarily_unavailable', description, null);
}

function statusError(
  status: number,
  error: string,
  description: string,
  retryAfter: string | null,
): OIDCProviderError {
  const made = new errors.CustomOIDCProviderError(error, description);
  made.status = status;
  made.statusCode = status;
  made.expose = true;
  if (retryAfter !== null) Provider.ctx?.set('Retry-After', retryAfter);
  return made;
}

/** Tells the log why the library refuses a request: what it keeps from the client, where there is such. */
export function noteRefusal(info: object, error: OIDCProviderError): void {
  const { error: code, error_description: description, error_detail: detail, cause } = error;
  // A parser repeats what it could not read.
  const isOurs = !(cause instanceof SyntaxError);
  const reason = (isOurs ? detail : undefined) ?? description;
  // So does its refusal of pages of an origin.
  const isOfOrigin = reason?.startsWith('origin ') === true;
  noteOnRequest(info, { code, reason: isOfOrigin ? 'the origin is none of the client’s' : reason });
}
