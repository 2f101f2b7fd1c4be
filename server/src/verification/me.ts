import { findCredentials, type PresentedKey } from '../authentication/credentials.ts';
import type { EdgeAnswer } from '../edge/answer.ts';
import { corsHeaders, mayPageRead } from '../edge/cors.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import type { ExposureNotes } from '../exposure/exposure-notes.ts';
import { allPresetKeyHeaders, presets } from '../key-profiles/presets.ts';
import type { LimitDecision } from '../limits/limit-decision.ts';
import { rateLimitHeaders } from '../limits/rate-limit-headers.ts';
import type { AccessSessions } from '../sessions/access-sessions.ts';
import { decide, refusalBeforeTenant } from './decide.ts';
import type { DecisionCounters } from './decision-counters.ts';
import { deprecationHeaders } from './deprecation.ts';
import { environmentHeader, environmentOfUnknownKey } from './environment-header.ts';
import type { KeyDirectory } from './key-directory.ts';
import { queryPresentsKey } from './key-in-query.ts';
import { chargeAndRecord, type Meter } from './meter.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import { refusals } from './refusals.ts';

const places = {
  keyHeaders: ['authorization', ...allPresetKeyHeaders.filter((name) => name !== 'authorization')],
  takesBasic: true,
};

interface Dependencies {
  keys: KeyDirectory;
  accessSessions: Pick<AccessSessions, 'authenticate' | 'organizationsOf'>;
  counters: DecisionCounters;
  exposures: ExposureNotes;
  meter: Meter;
  nowMs: () => number;
}

/** `GET /v1/me`: whoever holds a key, or has signed in, asks who it is. */
export class MeEndpoint {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** Errors are problem+json whatever the key's profile; `headers` collects what the answer of an error needs too. */
  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const origin = request.headers.origin;
    const presented = presentedCredential(request, headers);
    if ('token' in presented) return this.#answerUser(presented.token, origin, info, headers);
    const found = this.#deps.keys.find(presented.secret);
    const key = found instanceof Promise ? await found : found;
    if (key === null || (presented.keyId !== null && presented.keyId !== key.id)) {
      // A secret under a wrong id belongs to no key: it tells as little as one that nobody knows.
      this.#deps.counters.count('me', 'NOT_FOUND');
      const environment = environmentOfUnknownKey(presented.secret, null);
      headers.push(...corsHeaders(origin, true));
      if (environment !== null) headers.push(...environmentHeader(presets.standard, environment));
      throw new AppError('invalid_key');
    }
    const profile = key.issuer?.profile ?? presets.standard;
    const hasBrowserHeaders = origin !== undefined || request.headers['sec-fetch-site'] !== undefined;
    this.#deps.exposures.note(key, { origin, hasBrowserHeaders }, 'me', presented.secret);
    const tenant = await this.#tenantOf(request, key);
    // After a wait: the key may have been revoked in the meantime, and memory knows by now.
    const known = tenant === undefined ? key : await this.#deps.keys.find(presented.secret);
    if (known === null) throw new AppError('invalid_key');
    const decision = decide(
      known,
      {
        origin,
        hasBrowserHeaders,
        ip: info.ip,
        tenant: tenant ?? null,
        tenantGiven: tenant !== undefined,
        tenantRequired: false,
        scopes: [],
      },
      this.#deps.nowMs(),
    );
    headers.push(
      ...corsHeaders(origin, mayPageRead(key, origin), profile.environment_header),
      ...environmentHeader(profile, key.environment),
    );
    const { refusal, outcome, limits } = await chargeAndRecord(this.#deps.meter, {
      key: known,
      decision,
      entrance: 'me',
    });
    this.#deps.counters.count('me', outcome);
    if (limits !== null) headers.push(...rateLimitHeaders(limits, profile.rate_limit_headers));
    if (refusal !== null) throw new AppError(refusal, detailOf(limits));
    headers.push('X-Request-Id', info.id, ...deprecationHeaders(key));
    const scopes = decision.valid ? decision.scopes : [];
    return { status: 200, body: renderIdentity(key, decision.organization, scopes) };
  }

  /** The user of an access token. It has no origins of its own, so any page may ask. */
  async #answerUser(
    token: string,
    origin: string | undefined,
    info: EdgeInfo,
    headers: string[],
  ): Promise<EdgeAnswer> {
    const cors = corsHeaders(origin, true);
    const { accessSessions } = this.#deps;
    const read = async () => {
      const user = await accessSessions.authenticate(token, null);
      return { user, organizations: await accessSessions.organizationsOf(user) };
    };
    const { user, organizations } = await read().catch((error: unknown) => {
      headers.push(...cors);
      throw error;
    });
    const { profile, environment, id: issuerId, account } = user.issuer;
    headers.push(
      ...corsHeaders(origin, true, profile.environment_header),
      ...environmentHeader(profile, environment),
      'X-Request-Id',
      info.id,
    );
    const identity = {
      type: 'user',
      id: user.userId,
      account_id: account.id,
      issuer_id: issuerId,
      organizations,
      environment,
      scopes: user.scopes,
    };
    return { status: 200, body: JSON.stringify({ data: identity }) };
  }

  /** The tenant header of the key's own profile, where the request has one; it is optional here. */
  async #tenantOf(request: EdgeRequest, key: KeyRecord): Promise<OrganizationRecord | 'unknown' | undefined> {
    const name = key.issuer?.profile.tenant_header?.name.toLowerCase();
    const given = name === undefined ? undefined : request.headers[name];
    if (key.issuer === null || given === undefined || given === '') return undefined;
    // What is refused without the tenant is refused without a look-up of it, and so also while Postgres is away.
    if (refusalBeforeTenant(key, undefined, this.#deps.nowMs()) !== null) return 'unknown';
    return (await this.#deps.keys.findTenant(key.issuer.id, String(given))) ?? 'unknown';
  }
}

/** The one key or, where there is none, the one token. */
function presentedCredential(request: EdgeRequest, headers: string[]): PresentedKey | { token: string } {
  const credentials = findCredentials(request.headers, places);
  const isInQuery = queryPresentsKey(request.url ?? '', null);
  if (credentials.outcome === 'one' && !isInQuery) return credentials.key;
  if (credentials.outcome === 'token' && !isInQuery) return { token: credentials.token };
  headers.push(...corsHeaders(request.headers.origin, true));
  if (isInQuery || credentials.outcome === 'ambiguous') throw new AppError('ambiguous_credentials');
  throw new AppError(credentials.outcome === 'missing' ? 'missing_key' : 'invalid_key');
}

/** How long to wait, where that helps. */
function detailOf(limits: LimitDecision | null): { detail?: string } {
  if (limits === null || limits.admitted || !('retryAfterSeconds' in limits)) return {};
  const { code, retryAfterSeconds } = limits;
  if (retryAfterSeconds === null) return {};
  return { detail: refusals[code].describe({ retryAfterSeconds }) };
}

function renderIdentity(
  key: KeyRecord,
  organization: OrganizationRecord | null,
  scopes: readonly string[],
): string {
  return JSON.stringify({
    data: {
      type: 'api_key',
      id: key.id,
      account_id: key.account.id,
      issuer_id: key.issuer?.id ?? null,
      organizations:
        organization === null ? [] : [{ org_id: organization.id, name: organization.name, scopes }],
      environment: key.environment,
      scopes,
    },
  });
}
