import { isDeepStrictEqual } from 'node:util';
import { toClientResource } from '../clients/client.ts';
import { insertClient, insertClientSecret } from '../clients/client-store.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import type { EdgeEndpoint } from '../edge/edge.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { splitIssuerPath } from '../edge/issuer-path.ts';
import { readJsonBody } from '../edge/read-body.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { actorOf, actorOfSystem } from '../events/actor.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import type { Transaction } from '../postgres/database.ts';
import { lockIssuerInService } from '../sessions/session-store.ts';
import { decide } from '../verification/decide.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { KeyRecord } from '../verification/records.ts';
import type { FlowCaps } from './flow-caps.ts';
import { fromLibrary } from './form-endpoint.ts';
import { paths } from './metadata.ts';
import { OAuthError, oauthErrorAnswer, requireRunning, SwitchedOffError } from './oauth-answer.ts';
import { resolveOidcSettings } from './oidc-settings.ts';
import type { OidcProviders } from './providers.ts';
import { type RegisteredClient, readRegistration } from './registration-metadata.ts';
import type { IssuerRuntime } from './runtime.ts';

interface Dependencies {
  keys: KeyDirectory;
  providers: OidcProviders;
  outbound: Pick<OutboundClient, 'checkUrl'>;
  flowCaps: FlowCaps;
  nowMs: () => number;
}

const maxBodyBytes = 32 * 1024;
const neededPermission = 'gatelodge.clients:write';

/**
 * `POST /{issuer_id}/register` (RFC 7591), where the issuer wants it. The initial access token is an API key of the issuer
 * or its account that may write clients. Whoever registers is external: its users are asked for their consent.
 */
export class RegisterEndpoint implements EdgeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { keys, providers, outbound, flowCaps } = this.#deps;
    headers.push('Access-Control-Allow-Origin', '*');
    try {
      const issuer = await keys.findIssuer(splitIssuerPath(request.url ?? '').issuerId ?? '');
      if (issuer === null) throw new AppError('not_found');
      requireRunning(issuer);
      const { runtime } = await providers.of(issuer);
      const { registration } = runtime.oidc;
      if (registration === 'off') throw new SwitchedOffError('registration');
      const key = registration === 'token' ? await this.#keyOf(request, info.ip, runtime) : null;
      const asked = readRegistration(await readJsonBody(request, maxBodyBytes), runtime.oidc, outbound);
      if (key === null) flowCaps.count(request.method, paths.registration, info.ip);
      const body = await register(runtime, asked, key, info);
      headers.push('X-Request-Id', info.id, 'Pragma', 'no-cache');
      return { status: 201, body: JSON.stringify(body) };
    } catch (error) {
      return oauthErrorAnswer(fromLibrary(error), info, headers);
    }
  }

  /** @throws invalid_token (401), insufficient_scope (403) */
  async #keyOf({ headers }: EdgeRequest, ip: string, { issuer }: IssuerRuntime): Promise<KeyRecord> {
    const secret = /^bearer +(\S{1,512})$/i.exec(headers.authorization ?? '')?.[1];
    const key = secret === undefined ? null : await this.#deps.keys.find(secret);
    const reaches =
      key !== null &&
      key.kind === 'secret' &&
      key.account.id === issuer.account.id &&
      key.organization === null &&
      (key.issuer === null || key.issuer.id === issuer.id) &&
      (key.environment === 'live' || issuer.environment === 'sandbox');
    const holds = key !== null && (key.scopes === null || key.scopes.includes(neededPermission));
    if (!reaches || !decide(key, { ...nothingAsked, ip }, this.#deps.nowMs()).valid)
      throw new OAuthError(
        401,
        'invalid_token',
        `send a secret key of the issuer that holds ${neededPermission}, as Bearer`,
        {
          'WWW-Authenticate': 'Bearer realm="gatelodge", error="invalid_token"',
        },
      );
    if (!holds)
      throw new OAuthError(403, 'insufficient_scope', `the key lacks the permission ${neededPermission}`, {
        'WWW-Authenticate': `Bearer realm="gatelodge", error="insufficient_scope", scope="${neededPermission}"`,
      });
    return key;
  }
}

const nothingAsked = {
  origin: undefined,
  hasBrowserHeaders: false,
  tenant: null,
  tenantGiven: false,
  tenantRequired: false,
  scopes: [],
};

async function register(
  runtime: IssuerRuntime,
  { name, facts }: RegisteredClient,
  key: KeyRecord | null,
  info: EdgeInfo,
): Promise<object> {
  const { issuer, secrets } = runtime;
  const scope = { accountId: issuer.account.id, issuerId: issuer.id };
  const now = runtime.now();
  return runtime.inAccount(async (tx) => {
    // At first without any lock, so that a flood of what is refused anyway holds up nothing.
    await requireRoom(tx, runtime);
    if ((await lockIssuerInService(tx, { ...scope, sessionId: '' })) === null)
      throw new AppError('not_found');
    // One after the other, so that nobody is let in beyond the quota. No sign-in takes a lock on this row, as on the
    // issuer's; where registration is not off, it is there.
    const locked = await tx
      .selectFrom('oidc_settings')
      .select('settings')
      .where('account_id', '=', scope.accountId)
      .where('issuer_id', '=', scope.issuerId)
      .forNoKeyUpdate()
      .executeTakeFirst();
    // What this request was judged by has been changed while it waited: whoever sends it again is judged by what is now.
    if (!isDeepStrictEqual(resolveOidcSettings(locked?.settings ?? null), runtime.oidc))
      throw new AppError('unavailable', { headers: { 'Retry-After': '1' } });
    await requireRoom(tx, runtime);
    const row = await insertClient(tx, { ...scope, name, type: 'external', ...facts });
    await tx
      .updateTable('clients')
      .set({ registered_at: now })
      .where('account_id', '=', scope.accountId)
      .where('id', '=', row.id)
      .execute();
    const made = facts.confidential ? await insertClientSecret(tx, secrets, row, now) : null;
    const actor = key === null ? actorOfSystem('registration', info) : actorOf({ keyId: key.id }, info);
    await runtime.recordAll(tx, actor, info, [
      {
        type: 'client.created',
        subject: { type: 'client', id: row.id },
        environment: issuer.environment,
        issuerId: issuer.id,
        data: {
          name: row.name,
          type: row.type,
          confidential: facts.confidential,
          application_type: facts.settings.openid.application_type,
        },
      },
    ]);
    return answerOf(toClientResource(row, [], now), facts, made?.secret ?? null);
  });
}

/** @throws access_denied (403) where as many have registered themselves as may */
async function requireRoom(tx: Transaction, { issuer, oidc }: IssuerRuntime): Promise<void> {
  const { count } = await tx
    .selectFrom('clients')
    .select((eb) => eb.fn.countAll<string>().as('count'))
    .where('account_id', '=', issuer.account.id)
    .where('issuer_id', '=', issuer.id)
    .where('registered_at', 'is not', null)
    .where('deleting', '=', false)
    .executeTakeFirstOrThrow();
  if (Number(count) >= oidc.registration_quota)
    throw new OAuthError(403, 'access_denied', 'the issuer takes no more clients that register themselves');
}

function answerOf(
  { id, created_at: createdAt, name }: ReturnType<typeof toClientResource>,
  { settings }: RegisteredClient['facts'],
  secret: string | null,
): object {
  const { openid, scopes } = settings;
  return {
    client_id: id,
    client_id_issued_at: Math.floor(Date.parse(createdAt) / 1000),
    ...(secret !== null && { client_secret: secret, client_secret_expires_at: 0 }),
    client_name: name,
    application_type: openid.application_type === 'native' ? 'native' : 'web',
    redirect_uris: openid.redirect_uris,
    post_logout_redirect_uris: openid.post_logout_redirect_uris,
    grant_types: openid.grant_types,
    response_types: openid.grant_types.includes('authorization_code') ? ['code'] : [],
    token_endpoint_auth_method: openid.token_endpoint_auth_method,
    scope: scopes.join(' '),
    require_pushed_authorization_requests: openid.require_pushed_authorization_requests,
    dpop_bound_access_tokens: openid.dpop_bound_access_tokens,
    ...(openid.backchannel_logout_uri !== null && {
      backchannel_logout_uri: openid.backchannel_logout_uri,
      backchannel_logout_session_required: openid.backchannel_logout_session_required,
    }),
  };
}
