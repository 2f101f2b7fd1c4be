/** The claims that each scope of OpenID Connect Core 1.0 §5.4 asks for; `openid` brings what tells of the sign-in. */
export const claimsOfScopes = {
  openid: ['sub', 'auth_time', 'amr', 'environment', 'organizations', 'organizations_omitted', 'org_id'],
  profile: [
    'name',
    'given_name',
    'family_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  phone: ['phone_number', 'phone_number_verified'],
} as const;

/** Every claim about a user that there is. */
export const claimNames: ReadonlySet<string> = new Set(Object.values(claimsOfScopes).flat());

/** Claims that tokens carry whoever asks for them: nobody has to allow them. */
export const claimsOfEveryToken: ReadonlySet<string> = new Set([
  'sub',
  'sid',
  'auth_time',
  'acr',
  'amr',
  'iss',
]);

/** Known to every issuer. `offline_access` is accepted and changes nothing: a client’s grant types decide. */
export const standardScopes = ['openid', 'profile', 'email', 'phone', 'offline_access'] as const;

export const oidcScopes: ReadonlySet<string> = new Set(standardScopes);

/** The scopes that a client may ask for; one that names none is held to the standard ones. */
export function scopesOfClient(scopes: readonly string[]): readonly string[] {
  return scopes.length === 0 ? standardScopes : scopes;
}

const scopeOfClaim: ReadonlyMap<string, string> = new Map(
  Object.entries(claimsOfScopes).flatMap(([scope, claims]) => claims.map((claim) => [claim, scope] as const)),
);

/** Whether somebody who may ask for these scopes may be told a claim by its name: what no scope brings, nobody is told. */
export function bringsClaim(scopes: readonly string[], claim: string): boolean {
  const scope = scopeOfClaim.get(claim);
  return scope === undefined || scope === 'openid' || scopes.includes(scope);
}
