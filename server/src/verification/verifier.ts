import { AppError } from '../errors.ts';
import type { ExposureNotes } from '../exposure/exposure-notes.ts';
import { presets } from '../key-profiles/presets.ts';
import type { DecisionRequest } from './checks.ts';
import { type Decision, decide, refusalBeforeTenant } from './decide.ts';
import type { DecisionCounters } from './decision-counters.ts';
import { environmentHeader } from './environment-header.ts';
import { explain, explainUnknown } from './explain.ts';
import type { Freshness } from './freshness.ts';
import type { KeyDirectory } from './key-directory.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import { refusals } from './refusals.ts';
import { decidedBody, notFoundBody, type VerifyCode } from './verify-answer.ts';
import type { VerifyRequest } from './verify-request.ts';

interface Dependencies {
  keys: KeyDirectory;
  freshness: Freshness;
  counters: DecisionCounters;
  exposures: ExposureNotes;
  nowMs: () => number;
}

/** What one verification came to. */
export interface Verification {
  /** The key that was asked about; null where there is none that the caller may know of. */
  readonly subject: KeyRecord | null;
  readonly code: VerifyCode;
  /** The answer, as JSON. */
  readonly body: string;
}

type TenantAsked = OrganizationRecord | 'unavailable' | null;

/**
 * Decides about the key of one verify body, for a caller that is known; `POST /v1/keys/verify` and its batch both ask it.
 *
 * Answers without a promise where memory knows all that it takes, which is what keeps the hot path free of waiting.
 * Throws `unavailable` (503) where neither Postgres nor memory can tell.
 */
export class Verifier {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /** @param requestId names the answer where the body gives no name of its own */
  verify(caller: KeyRecord, asked: VerifyRequest, requestId: string): Verification | Promise<Verification> {
    const found = this.#subjectOf(caller, asked.key);
    if (found instanceof Promise) return found.then((key) => this.#about(caller, key, asked, requestId));
    return this.#about(caller, found, asked, requestId);
  }

  /** Counts an answer that is given. One that only explains is no decision about anybody's request. */
  count(asked: VerifyRequest, { code }: Verification): void {
    if (!asked.explain) this.#deps.counters.count('verify', code);
  }

  /**
   * The key of this secret, as far as the caller may know of it. What it may not see is looked for among the imported
   * keys as what nobody knows is: also while Postgres is away, when that can't be done, neither answer tells them apart.
   */
  #subjectOf(caller: KeyRecord, secret: string): KeyRecord | null | Promise<KeyRecord | null> {
    const found = this.#deps.keys.find(secret);
    if (found instanceof Promise)
      return found.then((key) => visibleTo(caller, key) ?? this.#importedOf(caller, secret));
    return visibleTo(caller, found) ?? this.#importedOf(caller, secret);
  }

  #importedOf(caller: KeyRecord, secret: string): KeyRecord | null | Promise<KeyRecord | null> {
    const found = this.#deps.keys.findImported(secret, caller.account.id);
    return found instanceof Promise ? found.then((key) => visibleTo(caller, key)) : visibleTo(caller, found);
  }

  #about(
    caller: KeyRecord,
    key: KeyRecord | null,
    asked: VerifyRequest,
    requestId: string,
  ): Verification | Promise<Verification> {
    const named = asked.request_id ?? requestId;
    if (key === null) return notFound(asked, named);
    const { origin } = asked;
    if (!asked.explain)
      this.#deps.exposures.note(
        key,
        { origin, hasBrowserHeaders: origin !== undefined },
        'verify',
        asked.key,
      );
    const tenant = this.#tenantOf(key, asked);
    if (tenant instanceof Promise)
      return tenant.then((record) => this.#decideAnew(caller, asked, record, named));
    return this.#decide(key, asked, tenant, named);
  }

  /** After a wait: the key may have been revoked in the meantime, and memory knows by now. */
  async #decideAnew(
    caller: KeyRecord,
    asked: VerifyRequest,
    tenant: TenantAsked,
    requestId: string,
  ): Promise<Verification> {
    const key = await this.#subjectOf(caller, asked.key);
    return key === null ? notFound(asked, requestId) : this.#decide(key, asked, tenant, requestId);
  }

  /**
   * The tenant that the body names. What is refused without it is refused without a look-up of it, and so also while
   * Postgres is away; an explanation wants it all the same, and makes do without it where it can't be had.
   */
  #tenantOf(key: KeyRecord, { tenant, environment, explain: wantsAll }: VerifyRequest) {
    if (tenant === undefined || key.issuer === null) return null;
    const isRefusedAnyway = refusalBeforeTenant(key, environment, this.#deps.nowMs()) !== null;
    if (isRefusedAnyway && !wantsAll) return null;
    const found = this.#deps.keys.findTenant(key.issuer.id, tenant);
    return isRefusedAnyway && found instanceof Promise ? found.catch(orUnavailable) : found;
  }

  #decide(key: KeyRecord, asked: VerifyRequest, tenant: TenantAsked, requestId: string): Verification {
    const nowMs = this.#deps.nowMs();
    const request: DecisionRequest = {
      origin: asked.origin,
      hasBrowserHeaders: asked.origin !== undefined,
      ip: asked.ip,
      tenant: tenant === 'unavailable' ? null : tenant,
      tenantGiven: asked.tenant !== undefined,
      tenantRequired: key.issuer?.profile.tenant_header?.required === true,
      environment: asked.environment,
      scopes: asked.scopes,
    };
    const decision = decide(key, request, nowMs);
    const code = decision.valid ? 'VALID' : refusals[decision.refusal].verifyCode;
    const isTenantKnown = tenant !== 'unavailable';
    const checks = asked.explain
      ? explain({ record: key, secret: asked.key, request, nowMs, isTenantKnown })
      : undefined;
    const body = decidedBody(key, decision, code, { requestId, warnings: this.#warnings(decision), checks });
    return { subject: key, code, body };
  }

  #warnings(decision: Decision): readonly string[] {
    const warnings = decision.valid ? decision.warnings : [];
    return this.#deps.freshness.isFresh() || this.#deps.freshness.mode !== 'stale'
      ? warnings
      : [...warnings, 'stale'];
  }
}

/** @throws permission_denied (403) unless the key may verify others */
export function assertMayVerify(caller: KeyRecord): void {
  if (caller.scopes !== null && !caller.scopes.includes('keys:verify')) {
    throw new AppError('permission_denied', { detail: 'The API key lacks the permission keys:verify.' });
  }
}

/** The environment header of an answer that tells of no key in particular: the caller's own. */
export function environmentOfCaller(caller: KeyRecord): [string, string] {
  return environmentHeader(caller.issuer?.profile ?? presets.standard, caller.environment);
}

/**
 * A caller sees the keys at or below its own level, and nothing of another account. A sandbox caller sees sandbox
 * keys only: what it may learn of a live key is nothing.
 */
function visibleTo(caller: KeyRecord, key: KeyRecord | null): KeyRecord | null {
  if (key === null || key.account.id !== caller.account.id) return null;
  if (caller.issuer !== null && key.issuer?.id !== caller.issuer.id) return null;
  if (caller.organization !== null && key.organization?.id !== caller.organization.id) return null;
  return caller.environment === 'live' || key.environment === 'sandbox' ? key : null;
}

function notFound({ key, explain: wantsChecks }: VerifyRequest, requestId: string): Verification {
  const checks = wantsChecks ? explainUnknown(key) : undefined;
  return { subject: null, code: 'NOT_FOUND', body: notFoundBody(requestId, checks) };
}

function orUnavailable(error: unknown): 'unavailable' {
  if (error instanceof AppError && error.code === 'unavailable') return 'unavailable';
  throw error;
}
