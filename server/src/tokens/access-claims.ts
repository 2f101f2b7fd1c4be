import type { Environment } from '../key-profiles/key-profile.ts';

/** The claims of an access token (RFC 9068 §2.2) that every reader here may rely on, and what else it may hold. */
export interface AccessClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string | readonly string[];
  /** Seconds since 1970, like `iat` and `auth_time`. */
  readonly exp: number;
  readonly iat: number;
  readonly jti: string;
  readonly client_id: string;
  readonly environment: Environment;
  /** The session; a token that a client has got for itself has none. */
  readonly sid?: string;
  readonly scope?: string;
  readonly amr?: readonly string[];
  readonly auth_time?: number;
  readonly organizations?: readonly { org_id: string; name?: string; scopes?: readonly string[] }[];
  readonly [claim: string]: unknown;
}

const texts = ['sub', 'jti', 'client_id'] as const;

/** Whether a payload has what every access token has, each of its kind. Says nothing of their values. */
export function isAccessClaims(payload: Record<string, unknown>): payload is AccessClaims & typeof payload {
  const { aud, exp, iat, environment, sid, scope, auth_time: authTime } = payload;
  return (
    texts.every((name) => isText(payload[name])) &&
    (isText(aud) || (Array.isArray(aud) && aud.length > 0 && aud.every(isText))) &&
    isSeconds(exp) &&
    isSeconds(iat) &&
    (environment === 'live' || environment === 'sandbox') &&
    (sid === undefined || isText(sid)) &&
    (scope === undefined || isText(scope)) &&
    (authTime === undefined || isSeconds(authTime))
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isSeconds(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
