import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders } from '../edge/cors.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { parameter, readForm } from './form-body.ts';
import { fromLibrary } from './form-endpoint.ts';
import { OAuthError, oauthErrorAnswer, requireRunning } from './oauth-answer.ts';
import { requireProof } from './proof.ts';
import type { HeldProvider, OidcProviders } from './providers.ts';
import type { LiveToken, TokenReader } from './token-reader.ts';
import { claimsInScope, userClaims } from './user-claims.ts';

interface Dependencies {
  keys: KeyDirectory;
  providers: OidcProviders;
  tokens: TokenReader;
}

/** `GET|POST /{issuer_id}/userinfo` (OpenID Connect Core 1.0 §5.3). Pages of any origin may read it. */
export class UserInfoEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { keys, providers, tokens } = this.#deps;
    headers.push(...corsHeaders(request.headers.origin, true));
    try {
      const issuer = await keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
      if (issuer === null) throw new AppError('not_found');
      requireRunning(issuer);
      const shown = await shownToken(request);
      const held = await providers.of(issuer);
      const reading = await tokens.read(held.runtime, shown.token);
      noteOnRequest(info, { clientId: reading.clientId });
      if (reading.live === null) throw invalidToken(reading.reason);
      const { live } = reading;
      await requireProof(held.runtime, request, shown, live.claims);
      const body = answerOf(live, held);
      headers.push('X-Request-Id', info.id);
      return { status: 200, body: JSON.stringify(body) };
    } catch (error) {
      return oauthErrorAnswer(fromLibrary(error), info, headers);
    }
  }
}

function answerOf({ claims, session }: LiveToken, { runtime }: HeldProvider): Record<string, unknown> {
  const scopes = new Set((claims.scope ?? '').split(' '));
  const audiences = [claims.aud].flat();
  if (session === null)
    throw misplacedToken('the token is of the client itself; userinfo tells of users that have signed in');
  if (!audiences.includes(runtime.audience))
    throw misplacedToken('the token is for another resource; userinfo takes one got without resource=');
  if (!scopes.has('openid'))
    throw new OAuthError(403, 'insufficient_scope', 'access token missing openid scope', {
      'WWW-Authenticate': 'Bearer realm="gatelodge", error="insufficient_scope", scope="openid"',
    });
  const about = userClaims(session.user, session.signIn);
  const wanted = new Set(session.userinfoClaims);
  return {
    sub: session.user.id,
    ...claimsInScope(about, scopes),
    ...Object.fromEntries(Object.entries(about).filter(([name]) => wanted.has(name))),
    environment: claims.environment,
    organizations: session.organizations,
    ...(claims.org_id !== undefined && { org_id: claims.org_id }),
  };
}

/** An access token, and by which scheme it was sent. */
export interface ShownToken {
  readonly token: string;
  readonly scheme: 'bearer' | 'dpop';
}

/** @throws invalid_token (401), invalid_request (400) */
async function shownToken(request: EdgeRequest): Promise<ShownToken> {
  const { authorization } = request.headers;
  const isForm = request.method === 'POST' && request.headers['content-type'] !== undefined;
  const inBody = isForm ? parameter(await readForm(request), 'access_token') : null;
  if (authorization === undefined) {
    if (inBody === null) throw invalidToken('no token', 'Bearer realm="gatelodge"');
    return { token: inBody, scheme: 'bearer' };
  }
  if (inBody !== null)
    throw new OAuthError(400, 'invalid_request', 'access token must only be provided using one mechanism');
  const [, scheme, token] = /^(bearer|dpop) +([\w.~+/-]+=*)$/i.exec(authorization) ?? [];
  if (scheme === undefined || token === undefined) throw invalidToken('malformed Authorization');
  return { token, scheme: scheme.toLowerCase() as ShownToken['scheme'] };
}

const invalidTokenChallenge = 'Bearer realm="gatelodge", error="invalid_token"';

/** RFC 6750 §3.1. */
function invalidToken(detail: string, challenge = invalidTokenChallenge): OAuthError {
  const headers = { 'WWW-Authenticate': challenge };
  return new OAuthError(401, 'invalid_token', 'invalid token provided', headers, detail);
}

/** Of a live token, whose holder may know why it is of no use here. */
function misplacedToken(description: string): OAuthError {
  return new OAuthError(401, 'invalid_token', description, { 'WWW-Authenticate': invalidTokenChallenge });
}
