import type { ErrorFormat } from '../key-profiles/key-profile.ts';

/** What a message may need to know of the refusal at hand. */
export interface RefusalDetails {
  /** The profile's tenant header, for `tenant_required`. */
  tenantHeader?: string | undefined;
  /** Whole seconds after which the same request passes, for `rate_limited` and `quota_exceeded`. */
  retryAfterSeconds?: number | undefined;
  /** Guesses that are still allowed, for `invalid_otp`; also a member of its body. */
  attemptsLeft?: number | undefined;
  /** Says more than the table can, such as the field and the fix for `invalid_request`; never an id or a secret. */
  message?: string | undefined;
}

interface Refusal {
  /** HTTP status. */
  readonly status: 401 | 403 | 422 | 429 | 503;
  /** What `POST /v1/keys/verify` calls it; null where verify can't come to it. */
  readonly verifyCode: string | null;
  /** `code` and `type` of the nested dialect. */
  readonly nested: readonly [code: string, type: string];
  /** `code` of the flat dialect. */
  readonly flat: string;
  /** The message, without what only the refusal at hand knows; also the title of the problem. */
  readonly message: string;
  readonly nestedMessage?: string;
  /** What to do about it, for docs alone: it is part of no answer. */
  readonly fix?: string;
  /** The message with what the refusal at hand knows. */
  readonly describe?: (details: RefusalDetails) => string;
}

const authentication = {
  status: 401,
  nested: ['authentication_failed', 'authentication_error'],
  flat: 'UNAUTHORIZED',
} as const;

function permission<const Code extends string, const VerifyCode extends string>(
  code: Code,
  verifyCode: VerifyCode,
) {
  return { status: 403, verifyCode, nested: [code, 'permission_error'], flat: 'FORBIDDEN' } as const;
}

function limit<const Code extends string, const Name extends string>(code: Code, name: Name, fix: string) {
  return {
    status: 429,
    verifyCode: name,
    nested: [code, 'rate_limit_error'],
    flat: name,
    message: 'Rate limit exceeded',
    fix,
    // Always the plural: clients read the number out of this text by its form.
    describe: ({ retryAfterSeconds }: RefusalDetails) =>
      retryAfterSeconds === undefined
        ? 'Rate limit exceeded'
        : `Rate limit exceeded. Try again in ${retryAfterSeconds} seconds.`,
  } as const;
}

/** Every way in which a request with a key (or towards one) is refused, in all its spellings. */
export const refusals = {
  missing_key: { ...authentication, verifyCode: null, message: 'Missing API key' },
  invalid_key: {
    ...authentication,
    verifyCode: 'NOT_FOUND',
    message: 'Invalid API key',
    nestedMessage: 'Invalid API key provided',
  },
  revoked_key: {
    ...authentication,
    verifyCode: 'REVOKED',
    message: 'API key has been revoked',
    fix: 'Revoking is for good: make another key.',
  },
  expired_key: {
    ...authentication,
    verifyCode: 'EXPIRED',
    message: 'API key has expired',
    fix: 'Make another key; next time rotate it before it expires.',
  },
  disabled_key: {
    ...authentication,
    verifyCode: 'DISABLED',
    message: 'API key is disabled',
    fix: 'Enable it, or use another key.',
  },
  ambiguous_credentials: { ...authentication, verifyCode: null, message: 'Ambiguous credentials' },
  account_suspended: {
    ...permission('account_suspended', 'ACCOUNT_SUSPENDED'),
    message: 'Account is suspended',
    fix: 'Only the operator of the installation activates an account.',
  },
  issuer_suspended: {
    ...permission('issuer_suspended', 'ISSUER_SUSPENDED'),
    message: 'Issuer is suspended',
    fix: 'Activate the issuer.',
  },
  wrong_environment: {
    ...permission('wrong_environment', 'WRONG_ENVIRONMENT'),
    message: 'Environment not allowed for this key',
    fix: 'Use a live key for live data and a sandbox key for the sandbox.',
  },
  tenant_required: {
    ...permission('tenant_required', 'TENANT_REQUIRED'),
    message: 'Tenant is required',
    fix: 'Name the organization, by its id or its external_id, in the tenant header of the key profile.',
    describe: ({ tenantHeader }) =>
      tenantHeader === undefined ? 'Tenant is required' : `Tenant header ${tenantHeader} is required`,
  },
  tenant_mismatch: {
    ...permission('tenant_mismatch', 'TENANT_MISMATCH'),
    message: 'Tenant not allowed for this key',
    fix: 'A key of an organization is for that organization alone: name that one, or use a key of the other.',
  },
  tenant_suspended: {
    ...permission('tenant_suspended', 'TENANT_SUSPENDED'),
    message: 'Tenant is suspended',
    fix: 'Activate the organization.',
  },
  origin_not_allowed: {
    ...permission('origin_not_allowed', 'ORIGIN_NOT_ALLOWED'),
    message: 'Origin not allowed',
    fix: 'Add the origin of the page to restrictions.origins of the key: its scheme, host and port.',
  },
  secret_key_in_browser: {
    ...permission('secret_key_in_browser', 'SECRET_KEY_IN_BROWSER'),
    message: 'Secret key not allowed in a browser',
    fix: 'Use a publishable key in pages, and rotate this one: whoever has opened the page has it.',
  },
  ip_not_allowed: {
    ...permission('ip_not_allowed', 'IP_NOT_ALLOWED'),
    message: 'IP address not allowed',
    fix: 'Call from one of the addresses in restrictions.ips of the key, or add this one.',
  },
  insufficient_scope: {
    ...permission('insufficient_scope', 'INSUFFICIENT_SCOPE'),
    message: 'Insufficient scope',
    fix: 'Give the key what is missing in restrictions.scopes, or use one that has it.',
  },
  rate_limited: limit('rate_limited', 'RATE_LIMITED', 'Try again after as many seconds as Retry-After says.'),
  quota_exceeded: limit(
    'quota_exceeded',
    'QUOTA_EXCEEDED',
    'Wait for the refill, which Retry-After tells of where there is one, or raise the quota of the key.',
  ),
  invalid_request: {
    status: 422,
    verifyCode: null,
    nested: ['invalid_request', 'invalid_request_error'],
    flat: 'INVALID_REQUEST',
    message: 'The request is not valid',
    fix: 'The member errors says of each fault where it is and what to send instead.',
  },
  invalid_otp: {
    status: 401,
    verifyCode: null,
    nested: ['invalid_otp', 'authentication_error'],
    flat: 'INVALID_OTP',
    message: 'Invalid code',
    fix: 'Type in the code of the newest mail, or ask for another one.',
    describe: ({ attemptsLeft }) =>
      attemptsLeft === undefined
        ? 'Invalid code'
        : `Invalid code. ${attemptsLeft} ${attemptsLeft === 1 ? 'attempt' : 'attempts'} left.`,
  },
  invalid_token: {
    status: 401,
    verifyCode: null,
    nested: ['invalid_token', 'authentication_error'],
    flat: 'INVALID_TOKEN',
    message: 'Invalid token',
    fix: 'Refresh it, or have the user sign in again.',
  },
  unavailable: {
    status: 503,
    verifyCode: null,
    nested: ['unavailable', 'api_error'],
    flat: 'UNAVAILABLE',
    message: 'Try again shortly',
  },
} as const satisfies Record<string, Refusal>;

export type RefusalCode = keyof typeof refusals;

/** The `code` of a verify answer for a refused key. */
export type RefusedVerifyCode = Exclude<(typeof refusals)[RefusalCode]['verifyCode'], null>;

export interface RefusalContext extends RefusalDetails {
  requestId: string;
  /** Where /docs/errors lives, without a slash at the end. */
  docsBaseUrl: string;
}

export interface RenderedRefusal {
  contentType: 'application/json' | 'application/problem+json';
  body: string;
}

/** The body of a refusal in a profile's dialect, byte for byte as the contract has it; the status is in the table. */
export function renderRefusal(
  format: ErrorFormat,
  code: RefusalCode,
  context: RefusalContext,
): RenderedRefusal {
  const refusal: Refusal = refusals[code];
  const message = context.message ?? refusal.describe?.(context) ?? refusal.message;
  if (format === 'problem') {
    return {
      contentType: 'application/problem+json',
      body: JSON.stringify(toProblem(code, message, context)),
    };
  }
  const more = membersOf(context);
  const body =
    format === 'flat'
      ? { error: message, code: refusal.flat, ...more }
      : {
          error: {
            code: refusal.nested[0],
            message: context.message ?? refusal.nestedMessage ?? message,
            type: refusal.nested[1],
            ...more,
          },
        };
  return { contentType: 'application/json', body: JSON.stringify(body) };
}

/** RFC 9457. */
function toProblem(code: RefusalCode, detail: string, context: RefusalContext) {
  const { requestId, docsBaseUrl } = context;
  const { message: title, status } = refusals[code];
  return {
    type: `${docsBaseUrl}/docs/errors/${code}`,
    title,
    status,
    detail,
    code,
    request_id: requestId,
    ...membersOf(context),
  };
}

/** What a program need not read out of the message. */
function membersOf({ attemptsLeft }: RefusalDetails): { attempts_left?: number } {
  return attemptsLeft === undefined ? {} : { attempts_left: attemptsLeft };
}
