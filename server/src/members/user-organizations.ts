import { type Kysely, sql } from 'kysely';
import type pg from 'pg';
import { callLookup } from '../postgres/lookup.ts';
import type { Schema } from '../postgres/schema.ts';
import { effectiveScopes } from './effective-scopes.ts';

/** An organization of a user, as tokens and identities tell it. By its id alone where there is no room for more. */
export type OrganizationClaim =
  | { readonly org_id: string; readonly name: string; readonly scopes: readonly string[] }
  | { readonly org_id: string };

/** Whose organizations are asked for. */
export interface MemberOf {
  accountId: string;
  issuerId: string;
  userId: string;
}

/** What the answer is held to. */
export interface Narrowing {
  /** `organization_scopes` of the client that the answer is for; null or absent where it sets none. */
  organizationScopes?: readonly string[] | null | undefined;
  /** The id of the one organization that counts (`org=`); null or absent for all. */
  onlyOrganization?: string | null | undefined;
}

/** Bytes of scopes of one user that are read at most. Past them the organizations are told by their ids. */
const mostScopeBytes = 1024 * 1024;

/** A row of `lookup_user_organizations`. */
interface OrganizationRow extends pg.QueryResultRow {
  org_id: string;
  name: string;
  scopes: string[] | null;
}

/**
 * The organizations that a user is a member of at this moment, the oldest membership first, each with the scopes that the
 * user has there. Suspended organizations are left out, and a suspended user has none. One statement, however many.
 *
 * @param from a transaction of the account (which sees what it has changed itself), or `database.lookups`
 */
export async function organizationsOf(
  from: Kysely<Schema>,
  user: MemberOf,
  narrowing: Narrowing = {},
): Promise<OrganizationClaim[]> {
  const [accountId, issuerId, userId, organizationId, mostBytes] = valuesOf(user, narrowing);
  const { rows } = await sql<OrganizationRow>`
    select org_id, name, scopes from lookup_user_organizations(
      ${accountId}, ${issuerId}, ${userId}, ${organizationId}, ${mostBytes}::integer)`.execute(from);
  return rows.map((row) => toClaim(row, narrowing));
}

/** The same outside of any transaction, by the connections of the look-ups. @throws as `callLookup` does */
export async function lookUpOrganizationsOf(
  pool: pg.Pool,
  user: MemberOf,
  narrowing: Narrowing = {},
): Promise<OrganizationClaim[]> {
  const rows = await callLookup<OrganizationRow>(
    pool,
    'lookup_user_organizations',
    valuesOf(user, narrowing),
  );
  return rows.map((row) => toClaim(row, narrowing));
}

function valuesOf(
  { accountId, issuerId, userId }: MemberOf,
  { onlyOrganization }: Narrowing,
): [string, string, string, string | null, number] {
  return [accountId, issuerId, userId, onlyOrganization ?? null, mostScopeBytes];
}

function toClaim(
  { org_id, name, scopes }: OrganizationRow,
  { organizationScopes }: Narrowing,
): OrganizationClaim {
  if (scopes === null) return { org_id };
  return { org_id, name, scopes: effectiveScopes({ member: scopes, groups: [], organizationScopes }) };
}
