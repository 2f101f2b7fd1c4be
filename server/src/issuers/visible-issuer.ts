import { type RawBuilder, type SqlBool, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';

/**
 * That an issuer is one the caller can see: none that is deleted, and for a sandbox key none that is live. For queries of what
 * stands below it, which name the account themselves.
 */
export function isVisibleIssuer(principal: Principal, issuerId: string): RawBuilder<SqlBool> {
  const ofSandbox = principal.environment === 'live' ? sql`` : sql`and issuers.environment = 'sandbox'`;
  return sql`exists (select from issuers where issuers.id = ${issuerId} and not issuers.deleting ${ofSandbox})`;
}
