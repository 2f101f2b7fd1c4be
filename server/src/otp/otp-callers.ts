import { type CredentialPlaces, findCredentials } from '../authentication/credentials.ts';
import { corsHeaders, mayPageRead } from '../edge/cors.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import type { EdgeInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import type { ExposureNotes } from '../exposure/exposure-notes.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import type { KeyProfile } from '../key-profiles/key-profile.ts';
import { allPresetKeyHeaders, presets } from '../key-profiles/presets.ts';
import type { LimitDecision } from '../limits/limit-decision.ts';
import { rateLimitHeaders } from '../limits/rate-limit-headers.ts';
import { refusalOfCredentials } from '../verification/authorize.ts';
import { type Decision, decide, refusalBeforeTenant } from '../verification/decide.ts';
import type { DecisionCounters } from '../verification/decision-counters.ts';
import { deprecationHeaders } from '../verification/deprecation.ts';
import { environmentHeader, environmentOfUnknownKey } from '../verification/environment-header.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import { queryPresentsKey } from '../verification/key-in-query.ts';
import { chargeAndRecord, type Meter } from '../verification/meter.ts';
import type { IssuerRecord, KeyRecord, OrganizationRecord } from '../verification/records.ts';
import { presetPlaces, profileOfKey } from './otp-dialect.ts';
import { OtpRefusal } from './otp-refusal.ts';
import type { SandboxTwins } from './sandbox-twins.ts';

/** Who may have users sign in, and at which issuer. */
export interface OtpCaller {
  readonly key: KeyRecord;
  /** What was shown. Never logged. */
  readonly secret: string;
  /** The issuer of the key, or the one that the path names for a key of its account. */
  readonly home: IssuerRecord;
  /** Whose users sign in: `home`, or for a sandbox key its sandbox twin; null while there is none yet. */
  readonly issuer: IssuerRecord | null;
}

/** What is told to whoever asks, in whichever answer: as far as the request has come. */
export interface Told {
  /** Whose dialect the answer has; null until a key is known. */
  profile: KeyProfile | null;
}

interface Dependencies {
  keys: KeyDirectory;
  counters: DecisionCounters;
  exposures: ExposureNotes;
  meter: Meter;
  twins: SandboxTwins;
  nowMs: () => number;
}

/**
 * Decides about the key of a request that has users sign in, as `/v1/authorize` does about its: found, decided, charged
 * and put on record before anything else is looked at.
 */
export class OtpCallers {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * @param issuerId the issuer that the path names
   * @param headers flat list of the answer's headers; takes those that any answer to this caller has
   * @param told takes the profile as soon as a key is known
   * @throws OtpRefusal; `not_found` (404) for an issuer that there is none of
   */
  async admit(
    request: EdgeRequest,
    info: EdgeInfo,
    issuerId: string | null,
    headers: string[],
    told: Told,
  ): Promise<OtpCaller> {
    const { origin } = request.headers;
    const named = issuerId === null ? null : await this.#named(issuerId, request, headers, told);
    const secret = presentedSecret(request, named, headers);
    const key = await this.#find(secret, named);
    if (key === null) {
      this.#deps.counters.count('auth', 'NOT_FOUND');
      const profile = named?.profile ?? null;
      const environment =
        environmentOfUnknownKey(secret.secret, profile) ?? (named === null ? null : named.environment);
      headers.push(...corsHeaders(origin, true, profile?.environment_header));
      if (environment !== null) headers.push(...environmentHeader(profile ?? presets.standard, environment));
      throw new OtpRefusal('invalid_key');
    }
    const home = key.issuer ?? named;
    const profile = home?.profile ?? presets.standard;
    told.profile = profile;
    headers.push(
      ...corsHeaders(origin, mayPageRead(key, origin), profile.environment_header),
      ...environmentHeader(profile, key.environment),
      ...deprecationHeaders(key),
    );
    const hasBrowserHeaders = isOfBrowser(request);
    this.#deps.exposures.note(key, { origin, hasBrowserHeaders }, 'auth', secret.secret);
    const { known, issuer, decision } = await this.#decide(request, info, secret.secret, key, home);
    const charged = await chargeAndRecord(this.#deps.meter, { key: known, decision, entrance: 'auth' });
    this.#deps.counters.count('auth', charged.outcome);
    if (charged.limits !== null)
      headers.push(...rateLimitHeaders(charged.limits, profile.rate_limit_headers));
    if (charged.refusal !== null)
      throw new OtpRefusal(charged.refusal, { retryAfterSeconds: retryAfterOf(charged.limits) });
    if (home === null)
      throw new OtpRefusal('invalid_request', {
        message:
          'This key belongs to no issuer: name one in the path (/{issuer_id}/auth/…), or use a key of the issuer.',
      });
    return { key: known, secret: secret.secret, home, issuer };
  }

  /**
   * Decides again about a caller whose body has been long in coming, of records as they are by now: a request may be held
   * open for half a minute, but neither a key nor an issuer, its twin or an organization gets past its end by that. What
   * has been charged stays charged.
   *
   * @throws OtpRefusal; `not_found` (404) where the issuer that the path names has been deleted
   */
  async confirm(
    request: EdgeRequest,
    info: EdgeInfo,
    { secret, home: before }: OtpCaller,
  ): Promise<OtpCaller> {
    const key = await this.#deps.keys.find(secret);
    if (key === null) throw new OtpRefusal('invalid_key');
    const home = key.issuer ?? (await this.#deps.keys.findIssuer(before.id, 'row'));
    if (home === null) throw new AppError('not_found');
    const { known, issuer, decision } = await this.#decide(request, info, secret, key, home);
    if (!decision.valid) throw new OtpRefusal(decision.refusal);
    return { key: known, secret, home, issuer };
  }

  /** Whether the key may be used here and now, and for whose users. */
  async #decide(
    request: EdgeRequest,
    { ip }: EdgeInfo,
    secret: string,
    key: KeyRecord,
    home: IssuerRecord | null,
  ): Promise<{ known: KeyRecord; issuer: IssuerRecord | null; decision: Decision }> {
    // What is live may no more have to do with a sandbox than the other way round. The keys of an issuer are of its own
    // environment or of a sandbox, so this is said to keys of the account.
    const environment = home?.environment === 'sandbox' ? 'sandbox' : undefined;
    const isDead = refusalBeforeTenant(key, environment, this.#deps.nowMs()) !== null;
    // What is refused without the tenant and the twin is refused without a look-up of them, and so also while Postgres is
    // away.
    const issuer = home === null || (isDead && needsTwin(key, home)) ? null : await this.#issuerOf(key, home);
    const tenant = await this.#tenantOf(request, key, isDead);
    // After a wait: the key may have been revoked in the meantime, and memory knows by now.
    const known = await this.#deps.keys.find(secret);
    if (known === null) throw new OtpRefusal('invalid_key');
    const decision = decide(
      known,
      {
        origin: request.headers.origin,
        hasBrowserHeaders: isOfBrowser(request),
        ip,
        tenant: tenant ?? null,
        tenantGiven: tenant !== undefined,
        tenantRequired: false,
        environment,
        scopes: [],
      },
      this.#deps.nowMs(),
    );
    return { known, issuer, decision: withIssuers(decision, home, issuer) };
  }

  async #named(issuerId: string, request: EdgeRequest, headers: string[], told: Told): Promise<IssuerRecord> {
    const issuer = isId(idPrefixes.issuer, issuerId) ? await this.#deps.keys.findIssuer(issuerId) : null;
    if (issuer !== null) return issuer;
    told.profile = await profileOfKey(request, this.#deps.keys);
    headers.push(...corsHeaders(request.headers.origin, true));
    throw new AppError('not_found');
  }

  /** The key, if it may be used for the issuer that the path names: its own, its twin, or one of its account. */
  async #find({ secret, keyId }: Presented, named: IssuerRecord | null): Promise<KeyRecord | null> {
    const key = await this.#deps.keys.find(secret);
    if (key === null || (keyId !== null && keyId !== key.id)) return null;
    if (named === null || key.issuer?.id === named.id) return key;
    if (key.issuer === null) return key.account.id === named.account.id ? key : null;
    if (!needsTwin(key, key.issuer)) return null;
    return (await this.#deps.twins.find(key.issuer))?.id === named.id ? key : null;
  }

  /** Whose users a sandbox key sees: never a live issuer's. */
  async #issuerOf(key: KeyRecord, home: IssuerRecord): Promise<IssuerRecord | null> {
    return needsTwin(key, home) ? this.#deps.twins.find(home) : home;
  }

  /** The tenant header of the key's own profile, where the request has one; it is optional here, as on /v1/me. */
  async #tenantOf(
    request: EdgeRequest,
    key: KeyRecord,
    isDead: boolean,
  ): Promise<OrganizationRecord | 'unknown' | undefined> {
    const name = key.issuer?.profile.tenant_header?.name.toLowerCase();
    const given = name === undefined ? undefined : request.headers[name];
    if (key.issuer === null || given === undefined || given === '') return undefined;
    if (isDead) return 'unknown';
    return (await this.#deps.keys.findTenant(key.issuer.id, String(given))) ?? 'unknown';
  }
}

function isOfBrowser({ headers }: EdgeRequest): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
}

/** A sandbox key of a live issuer runs against the issuer's twin. */
export function needsTwin(key: Pick<KeyRecord, 'environment'>, home: IssuerRecord): boolean {
  return key.environment === 'sandbox' && home.environment === 'live';
}

interface Presented {
  secret: string;
  keyId: string | null;
}

/** @throws OtpRefusal where there is not exactly one key */
function presentedSecret(request: EdgeRequest, named: IssuerRecord | null, headers: string[]): Presented {
  const credentials = findCredentials(request.headers, placesOf(named));
  const isInQuery = queryPresentsKey(request.url ?? '', named?.profile ?? null);
  if (credentials.outcome === 'one' && !isInQuery) return credentials.key;
  headers.push(...corsHeaders(request.headers.origin, true, named?.profile.environment_header));
  if (named !== null) headers.push(...environmentHeader(named.profile, named.environment));
  if (isInQuery || credentials.outcome === 'one') throw new OtpRefusal('ambiguous_credentials');
  throw new OtpRefusal(refusalOfCredentials[credentials.outcome]);
}

/** Besides those of the presets a header counts only where the path names the issuer whose it is. */
function placesOf(named: IssuerRecord | null): CredentialPlaces {
  if (named === null) return presetPlaces;
  const own = named.profile.key_headers.map((name) => name.toLowerCase());
  return { keyHeaders: [...new Set([...allPresetKeyHeaders, ...own])], takesBasic: true };
}

/** A key of the account is not held to the issuer that the path names, nor a sandbox key to the twin: this is. */
function withIssuers(decision: Decision, home: IssuerRecord | null, issuer: IssuerRecord | null): Decision {
  const isSuspended = home?.status === 'suspended' || issuer?.status === 'suspended';
  if (!decision.valid || !isSuspended) return decision;
  return { valid: false, refusal: 'issuer_suspended', organization: decision.organization };
}

function retryAfterOf(limits: LimitDecision | null): number | undefined {
  if (limits === null || !('retryAfterSeconds' in limits)) return undefined;
  return limits.retryAfterSeconds ?? undefined;
}
