import { type Account, type Client, errors } from 'oidc-provider';
import { withOrganizations } from '../members/organizations-claim.ts';
import { lookUpOrganizationsOf, type OrganizationClaim } from '../members/user-organizations.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { StoredConsent } from '../postgres/schema.ts';
import { mayKnowClaim, organizationScopesFor } from './client-metadata.ts';
import { agreedInOrganizations } from './grants.ts';
import type { IssuerRuntime } from './runtime.ts';
import { type SignInFacts, type UserFacts, userClaims } from './user-claims.ts';

/** A user as the library knows one. */
export interface RuntimeUser extends Account {
  facts: UserFacts;
  /** What it has allowed the client before; null where nothing. */
  consent: StoredConsent | null;
}

interface UserRow extends UserFacts {
  granted: StoredConsent | null;
  [column: string]: unknown;
}

/**
 * The user of this id who is active.
 *
 * @throws the library's error: at the authorization endpoint `access_denied`, since whoever is signed in is gone;
 *   elsewhere undefined is answered
 */
export async function findUser(runtime: IssuerRuntime, userId: string): Promise<RuntimeUser | undefined> {
  const oidc = runtime.context.current?.oidc;
  const [row] = await runtime.look((pool) =>
    callLookup<UserRow>(pool, 'lookup_oidc_user_v2', [
      runtime.issuer.id,
      userId,
      oidc?.client?.clientId ?? '',
    ]),
  );
  if (row === undefined) {
    if (oidc?.route === 'token') return undefined;
    throw new errors.AccessDenied('the user is not active');
  }
  return {
    accountId: userId,
    facts: row,
    consent: row.granted,
    claims: async (use) => ({
      ...claimsFor(runtime.context.current?.oidc.client, userClaims(row, signInOf(runtime))),
      ...(use === 'id_token' && (await signInClaims(runtime, userId))),
    }),
  };
}

/** What an active user signs in as; null where there is none. @throws the library's error where it can't be looked up */
export async function findUsername(runtime: IssuerRuntime, userId: string): Promise<string | null> {
  const [row] = await runtime.look((pool) =>
    callLookup<UserRow>(pool, 'lookup_oidc_user_v2', [runtime.issuer.id, userId, '']),
  );
  return row?.username ?? null;
}

/** What the client may be told at this moment, whatever it was granted before. */
function claimsFor(client: Client | undefined, claims: Record<string, unknown>): Record<string, unknown> {
  if (client === undefined) return claims;
  return Object.fromEntries(Object.entries(claims).filter(([name]) => mayKnowClaim(client, name)));
}

/** How the user of this request has signed in. */
function signInOf(runtime: IssuerRuntime): SignInFacts {
  const entities = runtime.context.current?.oidc.entities;
  const source = entities?.AuthorizationCode ?? entities?.RotatedRefreshToken ?? entities?.DeviceCode;
  return { amr: source?.amr ?? [], authTime: source?.authTime };
}

/** Where tokens are for, and which organizations they tell of. Made anew each time that one is given out. */
export async function signInClaims(
  runtime: IssuerRuntime,
  userId: string,
  claims: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const organizations = await organizationsOfRequest(runtime, userId);
  const only = runtime.context.organization();
  return withOrganizations(
    { ...claims, environment: runtime.issuer.environment, ...(only !== null && { org_id: only }) },
    organizations,
  );
}

/** @throws the library's error where the one organization that the tokens are for has none of the user any more */
async function organizationsOfRequest(
  runtime: IssuerRuntime,
  userId: string,
): Promise<readonly OrganizationClaim[]> {
  const only = runtime.context.organization();
  const { client, entities } = runtime.context.current?.oidc ?? {};
  const agreed = agreedInOrganizations(entities?.Grant);
  const organizations = await organizationsOfUser(runtime, userId, {
    onlyOrganization: only,
    organizationScopes: client === undefined ? null : organizationScopesFor(client, agreed),
  });
  if (only !== null && organizations.length === 0)
    throw new errors.InvalidGrant('no member of the organization any more');
  return organizations;
}

/** The organizations of a user at this moment. */
export function organizationsOfUser(
  runtime: IssuerRuntime,
  userId: string,
  narrowing: { onlyOrganization: string | null; organizationScopes: readonly string[] | null },
): Promise<readonly OrganizationClaim[]> {
  const { issuer } = runtime;
  const user = { accountId: issuer.account.id, issuerId: issuer.id, userId };
  return runtime.look((pool) => lookUpOrganizationsOf(pool, user, narrowing));
}
