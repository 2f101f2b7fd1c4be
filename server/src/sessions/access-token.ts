import { randomUUID } from 'node:crypto';
import { idPrefixes, isId } from '../ids/ids.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { withOrganizations } from '../members/organizations-claim.ts';
import type { OrganizationClaim } from '../members/user-organizations.ts';
import { builtInClientId } from './built-in-client.ts';

/** What an access token tells. */
export interface AccessTokenContent {
  issuerUrl: string;
  /** `aud`. */
  audience: string;
  userId: string;
  sessionId: string;
  clientId: string;
  scopes: readonly string[];
  amr: readonly string[];
  /** When the user last showed who it is. */
  authTime: Date;
  environment: Environment;
  /** Of the user, with its scopes there. */
  organizations: readonly OrganizationClaim[];
  nowMs: number;
  lifetimeSeconds: number;
}

/**
 * The claims of an access token (RFC 9068 §2.2). An empty scope is left out, for the claim has to name one; of the
 * organizations there is as much as fits.
 */
export function accessTokenClaims(content: AccessTokenContent): Record<string, unknown> {
  const iat = Math.floor(content.nowMs / 1000);
  const claims = {
    iss: content.issuerUrl,
    sub: content.userId,
    aud: content.audience,
    exp: iat + content.lifetimeSeconds,
    iat,
    jti: randomUUID(),
    sid: content.sessionId,
    client_id: content.clientId,
    ...(content.scopes.length > 0 && { scope: content.scopes.join(' ') }),
    amr: content.amr,
    auth_time: Math.floor(content.authTime.getTime() / 1000),
    environment: content.environment,
  };
  return withOrganizations(claims, content.organizations);
}

/** No token is longer; what is, is not even taken apart. */
const maxTokenLength = 8 * 1024;

/**
 * The issuer that a token says it is of, or null. It says nothing of whether that is true: the token is then verified by
 * that issuer's keys.
 */
export function issuerNamedBy(token: string, publicUrl: string): string | null {
  if (token.length > maxTokenLength) return null;
  const { iss } = payloadOf(token);
  const base = `${publicUrl}/`;
  if (typeof iss !== 'string' || !iss.startsWith(base)) return null;
  const id = iss.slice(base.length);
  return isId(idPrefixes.issuer, id) ? id : null;
}

function payloadOf(token: string): { iss?: unknown } {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    return typeof payload === 'object' && payload !== null ? payload : {};
  } catch {
    return {};
  }
}

/** Claims as far as the built-in client looks at them. */
interface ClientClaims {
  readonly client_id: string;
  readonly sid?: string;
  readonly [claim: string]: unknown;
}

/**
 * Whether a verified token is the built-in client's own and nobody else's: with a session, and not bound to a key that
 * would have to be shown along with it (RFC 9449).
 */
export function isOfBuiltInClient(claims: ClientClaims): claims is ClientClaims & { readonly sid: string } {
  return claims.client_id === builtInClientId && typeof claims.sid === 'string' && claims.cnf === undefined;
}
