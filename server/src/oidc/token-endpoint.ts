import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClientDirectory } from '../clients/client-directory.ts';
import type { ClientRecord } from '../clients/client-record.ts';
import { writeAnswer } from '../edge/answer.ts';
import type { RawEndpoint } from '../edge/edge.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { Settings } from '../settings.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import { accessTokenType } from '../tokens/jwt.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { authenticateClient } from './client-authentication.ts';
import { peekForm } from './form-body.ts';
import type { IssuerSettings } from './issuer-settings.ts';
import { OAuthError, requireRunning } from './oauth-answer.ts';
import { oidcScopes, scopesOfClient } from './scopes.ts';

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  keys: KeyDirectory;
  clients: ClientDirectory;
  issuerSettings: IssuerSettings;
  signingKeys: SigningKeys;
  /** Answers whatever is not answered here. */
  library: RawEndpoint;
  nowMs: () => number;
}

/** What is asked for in the plainest way that there is. */
interface Asked {
  issuer: IssuerRecord;
  client: ClientRecord;
  scopes: readonly string[];
}

/**
 * `POST /{issuer_id}/token`. All of it is the library's but what machines ask for again and again: a token of the client's
 * own (RFC 6749 §4.4) by Basic, for no resource, bound to no key. That is answered from memory, whichever issuer it is of:
 * the library takes an instance for each, in which code that the others have made quick is slow at first. What it would
 * refuse, and what is not as plain, it is handed untouched, so that there is one place that refuses.
 */
export class TokenEndpoint implements RawEndpoint {
  readonly isRaw = true;
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void> {
    const asked = await this.#askedBy(request);
    const body = asked && (await this.#answerTo(asked));
    if (body === null) {
      await this.#deps.library.handleRaw(request, response, info);
      return;
    }
    const headers = ['X-Request-Id', info.id, 'Pragma', 'no-cache', 'Vary', 'Origin'];
    writeAnswer(response, headers, { status: 200, body: JSON.stringify(body) });
  }

  async #askedBy(request: IncomingMessage): Promise<Asked | null> {
    const { authorization, dpop, origin } = request.headers;
    if (authorization === undefined || dpop !== undefined || origin !== undefined) return null;
    const form = await peekForm(request);
    if (form === null || form.get('grant_type') !== 'client_credentials') return null;
    const scope = form.get('scope');
    if (form.size !== (scope === null ? 1 : 2)) return null;
    const { keys, clients } = this.#deps;
    try {
      const issuer = await keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
      if (issuer === null) return null;
      requireRunning(issuer);
      const client = await authenticateClient(clients, issuer, request, form);
      const scopes = grantedTo(client, scope);
      return scopes && { issuer, client, scopes };
    } catch (error) {
      return orLibrary(error);
    }
  }

  /** The answer of RFC 6749 §5.1; the token is that of RFC 9068, as `accessTokenOf` makes it. */
  async #answerTo({ issuer, client, scopes }: Asked): Promise<object | null> {
    const { settings, issuerSettings, signingKeys, nowMs } = this.#deps;
    try {
      const held = issuerSettings.of(issuer);
      const runtime = held instanceof Promise ? await held : held;
      if (runtime === null) return null;
      const seconds = client.settings.openid.access_token_seconds ?? runtime.login.access_token_seconds;
      const url = issuerUrl(settings, issuer.id);
      const iat = Math.floor(nowMs() / 1000);
      const scope = scopes.length === 0 ? {} : { scope: scopes.join(' ') };
      const claims = {
        iss: url,
        sub: client.id,
        aud: runtime.login.audience ?? url,
        exp: iat + seconds,
        iat,
        jti: randomUUID(),
        client_id: client.id,
        ...scope,
        environment: issuer.environment,
      };
      const token = await signingKeys.sign(issuer, claims, accessTokenType);
      return { access_token: token, expires_in: seconds, ...scope, token_type: 'Bearer' };
    } catch (error) {
      return orLibrary(error);
    }
  }
}

/** The scopes of the token; null where the client may not have one, or not such a one. */
function grantedTo({ confidential, settings }: ClientRecord, scope: string | null): readonly string[] | null {
  const { grant_types: grantTypes, dpop_bound_access_tokens: isBound } = settings.openid;
  if (!confidential || isBound || !grantTypes.includes('client_credentials')) return null;
  const allowed = scopesOfClient(settings.scopes).filter((each) => !oidcScopes.has(each));
  if (scope === null) return allowed;
  const asked = [...new Set(scope.split(' '))];
  return asked.every((each) => allowed.includes(each)) ? asked : null;
}

/** What callers are told of, the library tells them. */
function orLibrary(error: unknown): null {
  if (error instanceof OAuthError || error instanceof AppError) return null;
  throw error;
}
