import type pg from 'pg';
import type { ClientDirectory } from '../clients/client-directory.ts';
import type { ClientRecord } from '../clients/client-record.ts';
import { bothOf } from '../members/effective-scopes.ts';
import type { OrganizationClaim } from '../members/user-organizations.ts';
import { callLookup } from '../postgres/lookup.ts';
import { builtInClientId } from '../sessions/built-in-client.ts';
import type { AccessClaims } from '../tokens/access-claims.ts';
import { isUnasked } from './access-tokens.ts';
import { recordDigests } from './record-digests.ts';
import type { IssuerRuntime } from './runtime.ts';
import { bringsClaim, scopesOfClient } from './scopes.ts';
import type { SignInFacts, UserFacts } from './user-claims.ts';
import { organizationsOfUser } from './users.ts';

/** An access token of the issuer that counts at this moment. */
export interface LiveToken {
  /** Its scopes are those that the client is still given. */
  readonly claims: AccessClaims;
  /** null for one that a client has got for itself. */
  readonly session: LiveSession | null;
}

/** What came of reading a token: without one, why it does not count, which nobody but the log is told. */
export type TokenReading =
  | { readonly live: LiveToken; readonly clientId: string }
  | { readonly live: null; readonly reason: string; readonly clientId: string | undefined };

export interface LiveSession {
  readonly user: UserFacts & { readonly id: string };
  readonly signIn: SignInFacts;
  /** What the client has asked the userinfo endpoint for, besides what its scopes say. */
  readonly userinfoClaims: readonly string[];
  /** As they are now: only the one that the token is for, where it is for one. */
  readonly organizations: readonly OrganizationClaim[];
}

/** A row of `lookup_client_session_v3`. */
interface SessionRow extends pg.QueryResultRow {
  user_id: string;
  client_id: string;
  expires_at: Date;
  ended_at: Date | null;
  amr: string[];
  auth_time: Date;
  userinfo_claims: string[];
  organization_scopes: string[] | null;
  username_type: UserFacts['username_type'];
  username: string;
  username_changed_at: Date | null;
  profile: UserFacts['profile'];
  user_updated_at: Date;
  user_status: 'active' | 'suspended';
  is_revoked: boolean;
}

/** What a token says of its session, by the names of claims. */
type NamedSession = Pick<AccessClaims, 'sub' | 'client_id' | 'sid'> & { readonly org_id?: unknown };

/** Of what is revoked only the name is kept, until the token would have expired. */
export const revokedTokenModel = 'RevokedToken';

/**
 * Reads access tokens of an issuer, whichever client they are of. The signature says that we made one; whether it still
 * counts is asked each time: of its session, user, client and organization, and of the token itself.
 */
export class TokenReader {
  readonly #clients: ClientDirectory;

  constructor(clients: ClientDirectory) {
    this.#clients = clients;
  }

  /** @throws unavailable (503), as errors of the library too */
  async read(runtime: IssuerRuntime, token: string): Promise<TokenReading> {
    const { issuer, signingKeys } = runtime;
    const verdict = await signingKeys.verify(issuer.id, token, runtime.now().getTime());
    if (!verdict.ok || verdict.claims.environment !== issuer.environment)
      return refused('no access token of this issuer, or one that has expired');
    const client = await this.#clientOf(runtime, verdict.claims.client_id);
    if (client === null) return refused('its client is gone or suspended', verdict.claims);
    // Its users have to be asked by now, and of this one nobody was.
    if (client !== builtInClientId && client.type === 'external' && isUnasked(verdict.claims))
      return refused('its client is external by now, and its user was never asked', verdict.claims);
    const claims = withScopesOf(client, verdict.claims);
    const digests = recordDigests(
      runtime.secrets,
      { issuerId: issuer.id, model: revokedTokenModel },
      claims.jti,
    );
    if (claims.sid === undefined)
      return (await isRevoked(runtime, digests))
        ? refused('the token is revoked', claims)
        : { live: { claims, session: null }, clientId: claims.client_id };
    const session = await this.#sessionOf(runtime, claims, digests, client);
    return typeof session === 'string'
      ? refused(session, claims)
      : { live: { claims, session }, clientId: claims.client_id };
  }

  /** The session that a refresh token names, for as long as it can be carried on by it; null where it can't. */
  async readSession(runtime: IssuerRuntime, named: NamedSession): Promise<LiveSession | null> {
    const client = await this.#clientOf(runtime, named.client_id);
    const session = client === null ? null : await this.#sessionOf(runtime, named, [], client);
    return typeof session === 'string' ? null : session;
  }

  /** The built-in client is there always. */
  async #clientOf(
    { issuer }: IssuerRuntime,
    clientId: string,
  ): Promise<ClientRecord | typeof builtInClientId | null> {
    if (clientId === builtInClientId) return builtInClientId;
    const client = await this.#clients.find(issuer.id, clientId, issuer.account.id);
    return client?.status === 'active' ? client : null;
  }

  /** A text says why there is none. */
  async #sessionOf(
    runtime: IssuerRuntime,
    claims: NamedSession,
    digests: Buffer[],
    client: ClientRecord | typeof builtInClientId,
  ): Promise<LiveSession | string> {
    const [row] = await runtime.look((pool) =>
      callLookup<SessionRow>(pool, 'lookup_client_session_v3', [runtime.issuer.id, claims.sid, digests]),
    );
    if (row === undefined || row.user_id !== claims.sub || row.client_id !== claims.client_id)
      return 'its session is gone';
    if (row.is_revoked) return 'the token is revoked';
    if (row.ended_at !== null || row.expires_at <= runtime.now()) return 'its session has ended';
    if (row.user_status !== 'active') return 'its user is suspended';
    const only = typeof claims.org_id === 'string' ? claims.org_id : null;
    const organizations = await organizationsOfUser(runtime, row.user_id, {
      onlyOrganization: only,
      organizationScopes: organizationScopesOf(client, row),
    });
    // Suspended, or the user is no member any more: then the token is for nothing.
    if (only !== null && organizations.length === 0)
      return 'its organization is suspended, or its user no member any more';
    const { user_id: id, username_type, username, username_changed_at, profile } = row;
    return {
      user: { id, username_type, username, username_changed_at, profile, updated_at: row.user_updated_at },
      signIn: { amr: row.amr, authTime: Math.floor(row.auth_time.getTime() / 1000) },
      userinfoClaims:
        client === builtInClientId
          ? row.userinfo_claims
          : row.userinfo_claims.filter((claim) => bringsClaim(scopesOfClient(client.settings.scopes), claim)),
      organizations,
    };
  }
}

function refused(reason: string, claims?: AccessClaims): TokenReading {
  return { live: null, reason, clientId: claims?.client_id };
}

function isExternal(client: ClientRecord | typeof builtInClientId): boolean {
  return client !== builtInClientId && client.type !== 'first_party';
}

/** What the client is given at this moment, and of that what the user has agreed to where it was asked. */
function organizationScopesOf(
  client: ClientRecord | typeof builtInClientId,
  { organization_scopes: agreed }: SessionRow,
): readonly string[] | null {
  if (client === builtInClientId) return null;
  const { organization_scopes: given } = client.settings;
  return isExternal(client) ? bothOf(given, agreed) : given;
}

function withScopesOf(client: ClientRecord | typeof builtInClientId, claims: AccessClaims): AccessClaims {
  if (client === builtInClientId || claims.scope === undefined) return claims;
  const given = scopesOfClient(client.settings.scopes);
  const scope = claims.scope.split(' ').filter((each) => given.includes(each));
  return { ...claims, scope: scope.join(' ') };
}

async function isRevoked(runtime: IssuerRuntime, digests: Buffer[]): Promise<boolean> {
  const [row] = await runtime.look((pool) =>
    callLookup<{ is_revoked: boolean }>(pool, 'lookup_revoked_token', [runtime.issuer.id, digests]),
  );
  return row?.is_revoked === true;
}
