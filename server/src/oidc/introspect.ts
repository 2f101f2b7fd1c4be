import { parameter } from './form-body.ts';
import { type ClientForm, FormEndpoint, type FormEndpointDependencies } from './form-endpoint.ts';
import { OAuthError } from './oauth-answer.ts';
import type { TokenReader } from './token-reader.ts';

/** `POST /{issuer_id}/introspect` (RFC 7662): of tokens of this issuer, for its clients with a secret. */
export class IntrospectEndpoint extends FormEndpoint {
  protected readonly takesPublicClients = false;
  readonly #tokens: TokenReader;

  constructor(deps: FormEndpointDependencies & { tokens: TokenReader }) {
    super(deps);
    this.#tokens = deps.tokens;
  }

  protected async carryOut({ form, held }: ClientForm): Promise<object> {
    const token = parameter(form, 'token');
    if (token === null) throw new OAuthError(400, 'invalid_request', 'token is missing');
    const live = await this.#tokens.read(held.runtime, token);
    if (live !== null) {
      const { organizations: _inToken, ...claims } = live.claims;
      return {
        active: true,
        ...claims,
        token_type: claims.cnf === undefined ? 'Bearer' : 'DPoP',
        // As they are now, and not only as many as found room in the token.
        ...(live.session !== null && { organizations: live.session.organizations }),
        ...(live.session !== null && { username: live.session.user.username }),
      };
    }
    return (await this.#ofRefreshToken({ form, held }, token)) ?? { active: false };
  }

  async #ofRefreshToken({ held }: Pick<ClientForm, 'form' | 'held'>, token: string): Promise<object | null> {
    const found = await held.provider.RefreshToken.find(token);
    if (found === undefined || found.consumed !== undefined) return null;
    if ((await held.provider.Client.find(found.clientId ?? '')) === undefined) return null;
    return {
      active: true,
      iss: held.runtime.url,
      sub: found.accountId,
      client_id: found.clientId,
      sid: found.sid,
      exp: found.exp,
      iat: found.iat,
      scope: found.scope,
      environment: held.runtime.issuer.environment,
    };
  }
}
