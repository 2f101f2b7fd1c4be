import type { Client, Token } from 'oidc-provider';
import type { ClientRecord } from '../clients/client-record.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import { hasScope, isFirstParty, mayAskForResource } from './client-metadata.ts';
import { parameter } from './form-body.ts';
import { type ClientForm, FormEndpoint, type FormEndpointDependencies } from './form-endpoint.ts';
import { OAuthError } from './oauth-answer.ts';
import type { HeldProvider } from './providers.ts';
import type { LiveToken, TokenReader } from './token-reader.ts';

/** Scopes that tell who a user is. */
const namingScopes: ReadonlySet<string> = new Set(['email', 'phone', 'profile']);

/**
 * `POST /{issuer_id}/introspect` (RFC 7662): of tokens of this issuer, for its clients with a secret. An external client is
 * told of its own tokens and of those that are meant for it; of others nobody has agreed that it is told.
 */
export class IntrospectEndpoint extends FormEndpoint {
  protected readonly takesPublicClients = false;
  protected override readonly takesRegisteredClients = false;
  readonly #tokens: TokenReader;

  constructor(deps: FormEndpointDependencies & { tokens: TokenReader }) {
    super(deps);
    this.#tokens = deps.tokens;
  }

  protected async carryOut({ form, client, held, info }: ClientForm): Promise<object> {
    const token = parameter(form, 'token');
    if (token === null) throw new OAuthError(400, 'invalid_request', 'token is missing');
    const reading = await this.#tokens.read(held.runtime, token);
    if (reading.live !== null) {
      const { live } = reading;
      if (!mayKnow(client, live.claims)) {
        noteOnRequest(info, { reason: 'the token is of another client, and this one is external' });
        return { active: false };
      }
      const { organizations: _inToken, ...claims } = live.claims;
      return {
        active: true,
        ...claims,
        token_type: claims.cnf === undefined ? 'Bearer' : 'DPoP',
        // As they are now, and not only as many as found room in the token.
        ...(live.session !== null && { organizations: live.session.organizations }),
        ...(live.session !== null && saysWho(claims.scope) && { username: live.session.user.username }),
      };
    }
    const ofRefreshToken = await this.#ofRefreshToken({ client, held }, token);
    if (ofRefreshToken === null) noteOnRequest(info, { reason: reading.reason });
    return ofRefreshToken ?? { active: false };
  }

  async #ofRefreshToken(
    { client, held }: Pick<ClientForm, 'client' | 'held'>,
    token: string,
  ): Promise<object | null> {
    const { provider, runtime } = held;
    const found = await provider.RefreshToken.find(token);
    if (found === undefined || found.consumed !== undefined) return null;
    if (!mayKnow(client, { client_id: found.clientId ?? '', aud: [] })) return null;
    const owner = await provider.Client.find(found.clientId ?? '');
    if (owner === undefined || !(await isRedeemable(held, found, owner))) return null;
    const { accountId: sub = '', clientId: client_id = '', sid = '', org: org_id } = found;
    if ((await this.#tokens.readSession(runtime, { sub, client_id, sid, org_id })) === null) return null;
    // As many as it would get for it now.
    const scopes = (found.scope ?? '').split(' ').filter((scope) => hasScope(owner, scope));
    return {
      active: true,
      iss: runtime.url,
      sub,
      client_id,
      sid,
      exp: found.exp,
      iat: found.iat,
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
      environment: runtime.issuer.environment,
    };
  }
}

/** Whether the client may refresh, and still has been granted what it has: as the token endpoint goes by. */
async function isRedeemable(
  { provider, runtime }: HeldProvider,
  { accountId, clientId, grantId, jkt, resource }: Token,
  owner: Client,
): Promise<boolean> {
  if (!owner.grantTypeAllowed('refresh_token')) return false;
  // Nobody can show the key that it is bound to.
  if (jkt !== undefined && !runtime.oidc.dpop) return false;
  const resources = [resource ?? []].flat() as string[];
  if (resources.length > 0 && !resources.some((each) => mayAskForResource(runtime, owner, each)))
    return false;
  const grant = await provider.Grant.find(grantId ?? '');
  if (grant === undefined || grant.accountId !== accountId || grant.clientId !== clientId) return false;
  return grant.unasked !== true || isFirstParty(owner);
}

function mayKnow(
  { id, type }: ClientRecord,
  { client_id: owner, aud }: Pick<LiveToken['claims'], 'client_id' | 'aud'>,
): boolean {
  return type === 'first_party' || owner === id || [aud].flat().includes(id);
}

function saysWho(scope: string | undefined): boolean {
  return (scope ?? '').split(' ').some((each) => namingScopes.has(each));
}
