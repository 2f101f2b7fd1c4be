import { findCredentials } from '../authentication/credentials.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders, mayPageRead } from '../edge/cors.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import type { ExposureNotes } from '../exposure/exposure-notes.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { environmentLabel } from '../key-profiles/key-profile.ts';
import type { LimitDecision } from '../limits/limit-decision.ts';
import { rateLimitHeaders } from '../limits/rate-limit-headers.ts';
import { type AuthorizeDemands, type BadDemand, parseDemands } from './authorize-demands.ts';
import { challengeOf } from './challenge.ts';
import { decide, refusalBeforeTenant } from './decide.ts';
import type { DecisionCounters } from './decision-counters.ts';
import { deprecationHeaders } from './deprecation.ts';
import { environmentHeader, environmentOfUnknownKey } from './environment-header.ts';
import type { Freshness } from './freshness.ts';
import type { KeyDirectory } from './key-directory.ts';
import { queryPresentsKey } from './key-in-query.ts';
import { chargeAndRecord, type Meter } from './meter.ts';
import { refusalForNginx } from './nginx-answer.ts';
import type { IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';
import { type RefusalCode, refusals, renderRefusal } from './refusals.ts';

export const authorizePathPrefix = '/v1/authorize/';

interface Dependencies {
  keys: KeyDirectory;
  freshness: Freshness;
  counters: DecisionCounters;
  exposures: ExposureNotes;
  meter: Meter;
  nowMs: () => number;
  docsBaseUrl: string;
}

/** A decided request: the key that passed, or why there is none. */
type Outcome =
  | {
      refusal: null;
      key: KeyRecord;
      organization: OrganizationRecord | null;
      scopes: readonly string[];
      warnings: readonly string[];
      limits: LimitDecision | null;
    }
  | { refusal: RefusalCode; key: KeyRecord | null; secret: string | null; limits: LimitDecision | null };

/**
 * `ANY /v1/authorize/{issuer_id}`: a gateway passes the headers of the request it holds and learns whether to let it
 * through, in the dialect of the issuer's profile.
 */
export class AuthorizeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const url = request.url ?? '';
    const queryAt = url.indexOf('?');
    const issuerId = url.slice(authorizePathPrefix.length, queryAt === -1 ? undefined : queryAt);
    const known = isId(idPrefixes.issuer, issuerId) ? this.#deps.keys.findIssuer(issuerId) : null;
    const issuer = known instanceof Promise ? await known : known;
    if (issuer === null) {
      headers.push(...corsHeaders(request.headers.origin, false));
      throw new AppError('not_found');
    }
    const originalUrl = info.isFromTrustedProxy ? String(request.headers['x-forwarded-uri'] ?? '') : '';
    const isKeyInUrl = queryPresentsKey(url, issuer.profile) || queryPresentsKey(originalUrl, issuer.profile);
    const parsed = parseDemands(queryAt === -1 ? '' : url.slice(queryAt + 1), issuer.profile);
    const demands: AuthorizeDemands | BadDemand | { refusal: 'ambiguous_credentials' } = isKeyInUrl
      ? { refusal: 'ambiguous_credentials' }
      : parsed;
    const outcome: Outcome =
      'refusal' in demands
        ? refused(demands.refusal)
        : await this.#decide(request, info, issuer, demands).catch((error: unknown) =>
            unavailableOutcome(error, null),
          );
    headers.push(
      ...corsHeaders(
        request.headers.origin,
        outcome.key === null || mayPageRead(outcome.key, request.headers.origin),
        issuer.profile.environment_header,
      ),
      'X-Request-Id',
      info.id,
    );
    this.#deps.counters.count(
      'authorize',
      outcome.refusal === null
        ? 'VALID'
        : (refusals[outcome.refusal].verifyCode ?? outcome.refusal.toUpperCase()),
    );
    if (outcome.limits !== null)
      headers.push(...rateLimitHeaders(outcome.limits, issuer.profile.rate_limit_headers));
    if (outcome.refusal === null) return this.#allow(headers, issuer, outcome);
    return this.#refuse(
      headers,
      issuer,
      outcome,
      info.id,
      'message' in demands ? demands.message : undefined,
      'status' in parsed && parsed.status === 'nginx',
    );
  }

  async #decide(
    request: EdgeRequest,
    info: EdgeInfo,
    issuer: IssuerRecord,
    demands: AuthorizeDemands,
  ): Promise<Outcome> {
    const { headers } = request;
    const credentials = findCredentials(headers, {
      keyHeaders: issuer.profile.key_headers.map((name) => name.toLowerCase()),
      takesBasic: false,
    });
    if (credentials.outcome !== 'one') {
      return refused(refusalOfCredentials[credentials.outcome]);
    }
    const { secret } = credentials.key;
    const found = this.#deps.keys.findOrImported(secret, issuer.account.id);
    let key = found instanceof Promise ? await found : found;
    // Keys of the account and of other issuers are no keys here.
    if (key === null || key.issuer?.id !== issuer.id) return refused('invalid_key', null, secret);
    const { origin } = headers;
    const hasBrowserHeaders = origin !== undefined || headers['sec-fetch-site'] !== undefined;
    this.#deps.exposures.note(key, { origin, hasBrowserHeaders }, 'authorize', secret);
    const tenantHeader = issuer.profile.tenant_header;
    const given = tenantHeader === null ? undefined : headers[tenantHeader.name.toLowerCase()];
    const tenantName = given === undefined || given === '' ? undefined : String(given);
    const { environment, scopes } = demands;
    // What is refused without the tenant is refused without a look-up of it, and so also while Postgres is away.
    const namesTenant =
      tenantName !== undefined && refusalBeforeTenant(key, environment, this.#deps.nowMs()) === null;
    let tenant: OrganizationRecord | 'unknown' | null = null;
    try {
      if (namesTenant) {
        const named = this.#deps.keys.findTenant(issuer.id, tenantName);
        tenant = (named instanceof Promise ? await named : named) ?? 'unknown';
        // After a wait: the key may have been revoked in the meantime, and memory knows by now.
        if (named instanceof Promise) key = await this.#deps.keys.findOrImported(secret, issuer.account.id);
        if (key === null) return refused('invalid_key', null, secret);
      }
    } catch (error) {
      return unavailableOutcome(error, key);
    }
    const decision = decide(
      key,
      {
        origin,
        hasBrowserHeaders,
        ip: info.ip,
        tenant,
        tenantGiven: tenantName !== undefined,
        tenantRequired: tenantHeader?.required === true,
        environment,
        scopes,
      },
      this.#deps.nowMs(),
    );
    const metered = key;
    const charged = await chargeAndRecord(this.#deps.meter, {
      key: metered,
      decision,
      entrance: 'authorize',
    }).catch((error: unknown) => unavailableOutcome(error, metered));
    const { refusal, limits } = charged;
    if (refusal !== null || !decision.valid)
      return { refusal: refusal ?? 'unavailable', key, secret, limits };
    return {
      refusal: null,
      key,
      organization: decision.organization,
      scopes: decision.scopes,
      warnings: decision.warnings,
      limits,
    };
  }

  #allow(
    headers: string[],
    issuer: IssuerRecord,
    { key, organization, scopes, warnings }: Extract<Outcome, { refusal: null }>,
  ): EdgeAnswer {
    headers.push(
      'X-Gatelodge-Key-Id',
      key.id,
      'X-Gatelodge-Account-Id',
      issuer.account.id,
      'X-Gatelodge-Issuer-Id',
      issuer.id,
      'X-Gatelodge-Organization-Id',
      organization?.id ?? '',
      'X-Gatelodge-Kind',
      key.kind,
      'X-Gatelodge-Environment',
      key.environment,
      'X-Gatelodge-Scopes',
      scopes.join(' '),
      ...environmentHeader(issuer.profile, key.environment),
      ...deprecationHeaders(key),
    );
    const isStale = !this.#deps.freshness.isFresh() && this.#deps.freshness.mode === 'stale';
    const told = isStale ? [...warnings, 'stale'] : warnings;
    if (told.length > 0) headers.push('X-Gatelodge-Warnings', told.join(' '));
    return { status: 200 };
  }

  #refuse(
    headers: string[],
    issuer: IssuerRecord,
    { refusal, key, secret, limits }: Extract<Outcome, { refusal: RefusalCode }>,
    requestId: string,
    message: string | undefined,
    isForNginx: boolean,
  ): EdgeAnswer {
    const { profile } = issuer;
    const environment =
      key?.environment ??
      (secret === null ? null : environmentOfUnknownKey(secret, profile)) ??
      issuer.environment;
    headers.push(profile.environment_header, environmentLabel(profile, environment));
    const { status } = refusals[refusal];
    if (status === 401) headers.push('WWW-Authenticate', challengeOf(profile));
    if (status === 503) headers.push('Retry-After', '1');
    const { contentType, body } = renderRefusal(profile.error_format, refusal, {
      requestId,
      docsBaseUrl: this.#deps.docsBaseUrl,
      ...(profile.tenant_header && { tenantHeader: profile.tenant_header.name }),
      ...(message !== undefined && { message }),
      retryAfterSeconds: retryAfterOf(limits),
    });
    const told = isForNginx ? refusalForNginx(status, body) : { status, headers: [] };
    headers.push(...told.headers);
    return { status: told.status, body, contentType };
  }
}

/** While Postgres is away the issuer may be known and the key or its tenant not: that too is said in the issuer's dialect. */
function unavailableOutcome(
  error: unknown,
  key: KeyRecord | null,
): Extract<Outcome, { refusal: RefusalCode }> {
  if (!(error instanceof AppError) || error.code !== 'unavailable') throw error;
  return refused('unavailable', key);
}

function refused(
  refusal: RefusalCode,
  key: KeyRecord | null = null,
  secret: string | null = null,
): Extract<Outcome, { refusal: RefusalCode }> {
  return { refusal, key, secret, limits: null };
}

function retryAfterOf(limits: LimitDecision | null): number | undefined {
  return limits !== null && 'retryAfterSeconds' in limits
    ? (limits.retryAfterSeconds ?? undefined)
    : undefined;
}

/** How a request is refused that presents no one key. */
export const refusalOfCredentials = {
  missing: 'missing_key',
  malformed: 'invalid_key',
  // A JWT in Authorization is the application's own; it is no key.
  token: 'missing_key',
  ambiguous: 'ambiguous_credentials',
} as const satisfies Record<string, RefusalCode>;
