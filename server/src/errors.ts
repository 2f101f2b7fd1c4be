import { type RefusalCode, refusals } from './verification/refusals.ts';

interface ErrorRow {
  /** HTTP status. */
  status: number;
  /** RFC 9457 `title`: the same for every occurrence. */
  title: string;
  /** RFC 9457 `detail` where the thrower has nothing more precise to say. */
  detail: string;
  /** What to do about it, where the detail does not say so; for docs alone. */
  fix?: string;
}

/** The errors of our own API that are not refusals of a key; those stand in `verification/refusals.ts`. */
const ownErrors = {
  bad_request: { status: 400, title: 'Bad request', detail: 'The request could not be understood.' },
  malformed_json: { status: 400, title: 'Malformed JSON', detail: 'The body is not valid JSON.' },
  permission_denied: {
    status: 403,
    title: 'Permission denied',
    detail: 'The API key lacks the permission that this operation needs.',
  },
  https_required: {
    status: 403,
    title: 'HTTPS required',
    detail: 'Use HTTPS. Plain HTTP is answered on loopback only, or behind a trusted proxy that ended TLS.',
  },
  not_found: { status: 404, title: 'Not found', detail: 'No such object, or not one of yours.' },
  route_not_found: { status: 404, title: 'Route not found', detail: 'There is no such route.' },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    detail: 'This route does not answer that method; see the Allow header.',
  },
  request_timeout: { status: 408, title: 'Request timeout', detail: 'The request did not arrive in time.' },
  conflict: { status: 409, title: 'Conflict', detail: 'The object is not in a state that allows this.' },
  already_rotated: {
    status: 409,
    title: 'Already rotated',
    detail: 'The key has been rotated already; rotate its successor instead.',
  },
  external_id_taken: {
    status: 409,
    title: 'External id taken',
    detail:
      'Another organization of this issuer has this external_id; choose another or change that one first.',
  },
  username_taken: {
    status: 409,
    title: 'Username taken',
    detail: 'Another user of this issuer has this username, perhaps in another spelling; choose another.',
  },
  member_exists: {
    status: 409,
    title: 'Member exists',
    detail: 'The user is a member of this organization already; change that membership.',
  },
  group_name_taken: {
    status: 409,
    title: 'Group name taken',
    detail: 'Another group of this organization has this name, perhaps in another case; choose another.',
  },
  group_in_use: {
    status: 409,
    title: 'Group in use',
    detail: 'Members would be left without any scope; give them others first, or pass force=true.',
  },
  limit_reached: {
    status: 409,
    title: 'Limit reached',
    detail: 'There are as many of these as there may be; delete one first.',
  },
  issuers_still_live: {
    status: 409,
    title: 'Issuers still live',
    detail: 'The account still has active live issuers; suspend or delete them first, or pass force=true.',
  },
  plan_exists: {
    status: 409,
    title: 'Plan exists',
    detail: 'The account has a plan of this name; choose another, or change that one.',
  },
  plan_in_use: {
    status: 409,
    title: 'Plan in use',
    detail: 'Something is on this plan; put it on another plan, or on null, first.',
  },
  idempotency_in_flight: {
    status: 409,
    title: 'Request in flight',
    detail: 'A request with this Idempotency-Key is still being carried out; try again shortly.',
  },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    detail: 'The object has changed since the version that If-Match names; read it again.',
  },
  body_too_large: { status: 413, title: 'Body too large', detail: 'A body may have at most 256 KiB.' },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    detail: 'Send the body as Content-Type: application/json.',
  },
  idempotency_mismatch: {
    status: 422,
    title: 'Idempotency-Key reused',
    detail: 'This Idempotency-Key was used with another body; use a fresh key for a different request.',
  },
  headers_too_large: {
    status: 431,
    title: 'Headers too large',
    detail: 'The request headers are too large.',
  },
  internal_error: {
    status: 500,
    title: 'Internal error',
    detail: 'Something went wrong on our side; quote the request_id when you report it.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ownErrors | RefusalCode;

/** What to do about a refusal, where its name does not say it. */
const remedies: Partial<Record<string, string>> = {
  missing_key: 'Send the key by Basic (its id and its secret) or as Authorization: Bearer with the secret.',
  invalid_key: 'No such API key, or its id and its secret do not belong together.',
  ambiguous_credentials: 'Send one key, in a header; a key must never stand in a URL.',
  unavailable: 'The database can’t be reached at the moment. Try again shortly.',
};

/** The one table of error codes: what a code's status, title and default detail are. */
export const errorTable: Record<ErrorCode, ErrorRow> = { ...ownErrors, ...refusalErrors() };

/** One member of a validation error: where, what is wrong and how to mend it, and a stable code. */
export interface FieldError {
  path: string;
  message: string;
  code: string;
}

interface AppErrorOptions {
  /** Public text for this occurrence; never an id or a secret. */
  detail?: string;
  errors?: FieldError[];
  headers?: Record<string, string>;
  /** What really happened; logged, never answered. */
  cause?: unknown;
}

/** An error that becomes an answer: its code decides status, title and default detail. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: string;
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(code, { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.status = errorTable[code].status;
    this.detail = options.detail ?? errorTable[code].detail;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
  }
}

/** A method that the path does not take, with those that it does. @param allow as the header has them */
export function methodNotAllowed(allow: string): AppError {
  return new AppError('method_not_allowed', {
    detail: `This route does not answer that method; it answers ${allow}.`,
    headers: { Allow: allow },
  });
}

/** A validation error about one field. */
export function invalidField(path: string, message: string, code = 'invalid'): AppError {
  return invalidFields([{ path, message, code }]);
}

/** A validation error about several fields; the detail tells the first, `errors` all. */
export function invalidFields(errors: FieldError[]): AppError {
  const first = errors[0];
  const detail = first
    ? `${first.path === '' ? 'body' : first.path}: ${first.message}`
    : 'The request is not valid.';
  return new AppError('invalid_request', { detail, errors });
}

function refusalErrors(): Record<RefusalCode, ErrorRow> {
  const rows = Object.entries(refusals).map(([code, refusal]) => [
    code,
    {
      status: refusal.status,
      title: refusal.message,
      detail: remedies[code] ?? refusal.message,
      ...('fix' in refusal && { fix: refusal.fix }),
    },
  ]);
  return Object.fromEntries(rows) as Record<RefusalCode, ErrorRow>;
}
