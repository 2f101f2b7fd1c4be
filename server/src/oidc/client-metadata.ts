import type { Client } from 'oidc-provider';
import type { ClientRecord } from '../clients/client-record.ts';
import { bothOf } from '../members/effective-scopes.ts';
import type { SigningAlgorithm } from '../signing-keys/signing-key.ts';
import type { IssuerRuntime } from './runtime.ts';
import { bringsClaim, oidcScopes, scopesOfClient } from './scopes.ts';

/** What the library is told of a client besides the metadata that it knows; see `extraClientMetadata`. */
export const ownMetadata = [
  'first_party',
  'pkce_required',
  'api_scopes',
  'resource_indicators',
  'access_token_seconds',
  'refresh_token_seconds',
  'organization_scopes',
  'openid_scopes',
  'remember_consent',
  'self_registered',
] as const;

/**
 * A client as the library takes one (RFC 7591 §2).
 *
 * @param how.secret stands where the library wants to see one; it opens nothing, since secrets are compared by digests
 * @param how.algorithm that the issuer signs with at this moment
 * @param how.grantTypes that there are
 */
export function toClientMetadata(
  { id, name, type, confidential, isRegistered, settings }: ClientRecord,
  {
    secret,
    algorithm,
    grantTypes,
  }: { secret: string; algorithm: SigningAlgorithm; grantTypes: ReadonlySet<string> },
): Record<string, unknown> {
  const { openid } = settings;
  const method = openid.token_endpoint_auth_method;
  const scopes = scopesOfClient(settings.scopes);
  const usesCode = openid.grant_types.includes('authorization_code');
  return {
    client_id: id,
    client_name: name,
    ...(confidential && { client_secret: secret }),
    application_type: openid.application_type === 'native' ? 'native' : 'web',
    // One that the issuer has turned off is as if the client did not have it.
    grant_types: openid.grant_types.filter((grantType) => grantTypes.has(grantType)),
    response_types: usesCode ? ['code'] : [],
    redirect_uris: openid.redirect_uris,
    token_endpoint_auth_method: method,
    id_token_signed_response_alg: algorithm,
    require_pushed_authorization_requests: openid.require_pushed_authorization_requests === true,
    ...(openid.dpop_bound_access_tokens && { dpop_bound_access_tokens: true }),
    first_party: type === 'first_party',
    pkce_required: !confidential || openid.pkce !== 'optional',
    api_scopes: scopes.filter((scope) => !oidcScopes.has(scope)),
    resource_indicators: openid.resource_indicators ?? [],
    access_token_seconds: openid.access_token_seconds ?? null,
    refresh_token_seconds: openid.refresh_token_seconds ?? null,
    organization_scopes: settings.organization_scopes ?? null,
    remember_consent: openid.remember_consent,
    self_registered: isRegistered,
    openid_scopes: scopes.filter((scope) => oidcScopes.has(scope)),
  };
}

export function isFirstParty(client: Client | undefined): boolean {
  return client?.first_party === true;
}

/** The scopes of no standard that a client may ask for. */
export function apiScopesOf(client: Client): readonly string[] {
  return client.api_scopes as string[];
}

export function organizationScopesOfClient(client: Client): readonly string[] | null {
  return client.organization_scopes as string[] | null;
}

/**
 * The most that the client gets of scopes in organizations, of a user who has agreed to these; null: whatever the user has.
 * Nobody is asked about a client of the issuer's own.
 */
export function organizationScopesFor(
  client: Client,
  agreed: readonly string[] | null,
): readonly string[] | null {
  const given = organizationScopesOfClient(client);
  return isFirstParty(client) ? given : bothOf(given, agreed);
}

/** Whether the client may ask for a scope of a standard. */
export function mayAskForScope(client: Client, scope: string): boolean {
  return !oidcScopes.has(scope) || (client.openid_scopes as string[]).includes(scope);
}

/** Whether the client may have tokens for a resource: the issuer, one of its own, or one of every client's. */
export function mayAskForResource({ url, oidc }: IssuerRuntime, client: Client, resource: string): boolean {
  const own = client.resource_indicators as string[];
  return resource === url || own.includes(resource) || oidc.resources.includes(resource);
}

/** Whether the client is given a scope at this moment, whatever it was granted under other settings. */
export function hasScope(client: Client, scope: string): boolean {
  return oidcScopes.has(scope) ? mayAskForScope(client, scope) : apiScopesOf(client).includes(scope);
}

/** Whether the client may be told a claim: by its name it gets no more than by its scopes. */
export function mayKnowClaim(client: Client, claim: string): boolean {
  return bringsClaim(client.openid_scopes as string[], claim);
}

/** How long an access token of the client lives. */
export function secondsOfAccessToken(runtime: IssuerRuntime, client: Client): number {
  return (client.access_token_seconds as number | null) ?? runtime.login.access_token_seconds;
}

/** How long a refresh token of the client lives. */
export function secondsOfRefreshToken(runtime: IssuerRuntime, client: Client): number {
  return (client.refresh_token_seconds as number | null) ?? runtime.login.refresh_token_seconds;
}

/** How long the session of a client lasts without being carried on: as long as what it holds. */
export function secondsOfSession(runtime: IssuerRuntime, client: Client | undefined): number {
  if (client === undefined) return runtime.oidc.login_seconds;
  return client.grantTypeAllowed('refresh_token')
    ? Math.max(secondsOfRefreshToken(runtime, client), secondsOfAccessToken(runtime, client))
    : Math.max(runtime.oidc.login_seconds, secondsOfAccessToken(runtime, client));
}
