import { type Context, errors, type Token } from 'oidc-provider';
import type { AccessClaims } from '../tokens/access-claims.ts';
import { accessTokenType } from '../tokens/jwt.ts';
import { apiScopesOf, hasScope } from './client-metadata.ts';
import type { IssuerRuntime } from './runtime.ts';
import { oidcScopes } from './scopes.ts';
import { signInClaims } from './users.ts';

/**
 * What the `jti` of a token begins with that nobody was asked about. It counts only for as long as nobody has to be. Said by
 * the token itself: to end the sessions of a client whose type changes would take as long as it has sessions, and to look up
 * what was granted one more question for every token that is read. And in the one claim that is ours alone to read.
 */
const unaskedPrefix = 'unasked.';

/** Whether nobody was asked whether the client may have this token. */
export function isUnasked({ jti }: Pick<AccessClaims, 'jti'>): boolean {
  return jti.startsWith(unaskedPrefix);
}

/**
 * The access token of a client as a JWT (RFC 9068), in place of what the library would make: signed as every token of the
 * issuer is, with the claims that all of them have. It is stored nowhere: its session says whether it counts.
 */
export async function accessTokenOf(runtime: IssuerRuntime, context: Context, token: Token): Promise<string> {
  const { client, entities } = context.oidc;
  if (client === undefined) throw new Error('an access token of no client');
  const userId = token.accountId;
  const isDefault = token.aud === undefined || token.aud === runtime.url;
  const scopes =
    userId === undefined
      ? scopesForClient(context, token)
      : scopesForUser(context, token, isDefault).filter((scope) => hasScope(client, scope));
  // Also what the answer says.
  token.scope = scopes.length === 0 ? undefined : scopes.join(' ');
  const iat = Math.floor(runtime.now().getTime() / 1000);
  const source = entities.AuthorizationCode ?? entities.RotatedRefreshToken ?? entities.DeviceCode;
  const claims = {
    iss: runtime.url,
    sub: userId ?? client.clientId,
    aud: isDefault ? runtime.audience : token.aud,
    exp: iat + token.expiration,
    iat,
    jti: (entities.Grant?.unasked === true ? unaskedPrefix : '') + token.jti,
    ...(token.sid !== undefined && { sid: token.sid }),
    client_id: client.clientId,
    ...(token.scope !== undefined && { scope: token.scope }),
    ...(userId !== undefined && { amr: source?.amr ?? [], auth_time: source?.authTime ?? iat }),
    ...(token.jkt !== undefined && { cnf: { jkt: token.jkt } }),
  };
  const whole =
    userId === undefined
      ? { ...claims, environment: runtime.issuer.environment }
      : await signInClaims(runtime, userId, claims);
  return runtime.signingKeys.sign(runtime.issuer, whole, accessTokenType);
}

/**
 * What the library has found granted for the one resource and, where that is the issuer itself, what its userinfo endpoint
 * goes by.
 */
function scopesForUser({ oidc }: Context, token: Token, isDefault: boolean): string[] {
  const granted = (token.scope ?? '').split(' ').filter(Boolean);
  if (!isDefault) return granted;
  const asked = oidc.params.scope === undefined ? sourceScopes(oidc.entities) : oidc.requestParamScopes;
  const ofOpenid = (oidc.entities.Grant?.getOIDCScopeFiltered(asked) ?? '').split(' ').filter(Boolean);
  return [...new Set([...ofOpenid, ...granted])];
}

function sourceScopes(entities: Context['oidc']['entities']): Set<string> {
  return (
    entities.AuthorizationCode?.scopes ??
    entities.RotatedRefreshToken?.scopes ??
    entities.DeviceCode?.scopes ??
    new Set()
  );
}

/** @throws invalid_scope for one that the client was not given; without any asked for, all that it was (RFC 6749 §3.3) */
function scopesForClient({ oidc }: Context, token: Token): string[] {
  const allowed = apiScopesOf(token.client);
  if (oidc.params.scope === undefined) return [...allowed];
  const asked = [...oidc.requestParamScopes];
  const refused = asked.find((scope) => !allowed.includes(scope));
  if (refused !== undefined)
    throw new errors.InvalidScope(
      oidcScopes.has(refused) ? 'a client has no user to tell of' : 'requested scope is not allowed',
      refused,
    );
  return asked;
}
