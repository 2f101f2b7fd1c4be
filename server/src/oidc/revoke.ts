import { actorOfSystem } from '../events/actor.ts';
import { endSessions } from '../sessions/session-store.ts';
import { parameter } from './form-body.ts';
import { type ClientForm, FormEndpoint } from './form-endpoint.ts';
import { OAuthError } from './oauth-answer.ts';
import { newRecordDigest } from './record-digests.ts';
import { sealRecord } from './record-seal.ts';
import { putRecord } from './record-store.ts';
import type { IssuerRuntime } from './runtime.ts';
import { revokedTokenModel } from './token-reader.ts';

/**
 * `POST /{issuer_id}/revoke` (RFC 7009): a client gives back a token of its own. A refresh token takes its session along
 * with every token of it; of an access token only itself is refused from then on.
 */
export class RevokeEndpoint extends FormEndpoint {
  protected readonly takesPublicClients = true;

  protected async carryOut(asked: ClientForm): Promise<undefined> {
    const token = parameter(asked.form, 'token');
    if (token === null) throw new OAuthError(400, 'invalid_request', 'token is missing');
    if (token.includes('.')) await revokeAccessToken(asked, token);
    else await revokeRefreshToken(asked, token);
  }
}

async function revokeAccessToken({ client, held }: ClientForm, token: string): Promise<void> {
  const { runtime } = held;
  const verdict = await runtime.signingKeys.verify(runtime.issuer.id, token, runtime.now().getTime());
  // What does not count any more is revoked already, whoever made it (RFC 7009 §2.2).
  if (!verdict.ok) return;
  requireOwn(verdict.claims.client_id, client);
  await rememberRevoked(runtime, verdict.claims.jti, new Date(verdict.claims.exp * 1000));
}

async function rememberRevoked(runtime: IssuerRuntime, jti: string, expiresAt: Date): Promise<void> {
  const { issuer, secrets } = runtime;
  const scope = { accountId: issuer.account.id, issuerId: issuer.id, model: revokedTokenModel };
  const { digest, generation } = newRecordDigest(secrets, scope, jti);
  const values = {
    digest,
    secret_generation: generation,
    sealed: sealRecord(secrets, { ...scope, digest }, generation, {}),
    user_code: null,
    login_uid: null,
    grant_id: null,
    session_id: null,
    user_id: null,
    expires_at: expiresAt,
  };
  await runtime.inAccount((tx) => putRecord(tx, scope, values, runtime.now()));
}

async function revokeRefreshToken({ client, held, info }: ClientForm, token: string): Promise<void> {
  const { provider, runtime } = held;
  const found = await provider.RefreshToken.find(token);
  if (found?.sid === undefined) return;
  requireOwn(found.clientId, client);
  const { id: issuerId, account, environment } = runtime.issuer;
  const scope = { accountId: account.id, issuerId, environment, sessionId: found.sid };
  const actor = actorOfSystem('token-revocation', info);
  await runtime.inAccount((tx) =>
    endSessions(tx, scope, 'token_revoked', {
      now: runtime.now(),
      recordAll: (events) => runtime.recordAll(tx, actor, info, events),
    }),
  );
}

/** @throws invalid_request (RFC 7009 §2.1); a client without a secret proves nothing, and is told nothing */
function requireOwn(clientId: string | undefined, client: ClientForm['client']): void {
  if (clientId === client.id) return;
  throw new OAuthError(400, 'invalid_request', 'the token was issued to another client');
}
