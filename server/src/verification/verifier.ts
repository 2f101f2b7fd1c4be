import { AppError } from '../errors.ts';
import type { ExposureNotes } from '../exposure/exposure-notes.ts';
import type { Outcome } from '../ledger/outcome.ts';
import type { LimitDecision } from '../limits/limit-decision.ts';
import type { DecisionRequest } from './checks.ts';
import { type Decision, decide, refusalBeforeTenant } from './decide.ts';
import type { DecisionCounters } from './decision-counters.ts';
import { explain, explainUnknown } from './explain.ts';
import type { Freshness } from './freshness.ts';
import type { KeyDirectory } from './key-directory.ts';
import type { Charge, Charged, Meter } from './meter.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import { refusals } from './refusals.ts';
import { nameOf, type OpenReplay, type Replays } from './replays.ts';
import { fingerprintOf } from './request-fingerprint.ts';
import { decidedBody, notFoundBody, type VerifyCode } from './verify-answer.ts';
import type { VerifyRequest } from './verify-request.ts';

interface Dependencies {
  keys: KeyDirectory;
  freshness: Freshness;
  counters: DecisionCounters;
  exposures: ExposureNotes;
  meter: Meter;
  replays: Replays;
  nowMs: () => number;
}

/** What one verification came to. */
export interface Verification {
  /** The key that was asked about; null where there is none that the caller may know of. */
  readonly subject: KeyRecord | null;
  readonly code: VerifyCode;
  /** How the limits of the key stand; null where none governs. */
  readonly limits: LimitDecision | null;
  /** The answer, as JSON. */
  readonly body: string;
}

/**
 * A verification that is decided and not yet answered: `Verifier.finish` has to follow, or `Verifier.withdraw`.
 */
export type Decided = {
  readonly requestId: string;
} & (
  | { readonly kind: 'told'; readonly verification: Verification }
  | { readonly kind: 'charged'; readonly charged: Charged; readonly open: OpenReplay | null }
  /** It was decided before. */
  | { readonly kind: 'replay'; readonly charge: Charge; readonly outcome: Outcome | Promise<Outcome> }
);

type TenantAsked = OrganizationRecord | 'unavailable' | null;

/** What `warmUp` has found. It stands for as long as the key is the same and the tenant has not changed. */
export interface LookedUp {
  readonly key: KeyRecord | null;
  readonly tenant: TenantAsked;
}

/**
 * Decides about the key of one verify body, for a caller that is known; `POST /v1/keys/verify` and its batch both ask it.
 *
 * Decides without a promise where memory knows all that it takes, which is what keeps the hot path free of waiting.
 * Throws `unavailable` (503) where neither Postgres nor memory can tell, or nothing can be put on record.
 */
export class Verifier {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Finds the key and the tenant, decides and charges the limits.
   *
   * @param requestId names the answer where the body gives no name of its own
   * @param lookedUp what `warmUp` answered for it; what of that still stands is not asked for again
   */
  decide(
    caller: KeyRecord,
    asked: VerifyRequest,
    requestId: string,
    lookedUp?: LookedUp,
  ): Decided | Promise<Decided> {
    this.#deps.meter.noteCaller(caller);
    const found = this.#subjectOf(caller, asked.key);
    if (found instanceof Promise)
      return found.then((key) => this.#about(caller, key, asked, requestId, lookedUp));
    return this.#about(caller, found, asked, requestId, lookedUp);
  }

  /** Puts a decision on record, and answers it once it is. */
  async finish(decided: Decided): Promise<Verification> {
    const { requestId } = decided;
    switch (decided.kind) {
      case 'told':
        return decided.verification;
      case 'charged': {
        const { charged, open } = decided;
        try {
          // What can't be answered is not recorded.
          const verification = this.#answer(charged, requestId);
          await this.#deps.meter.record(charged);
          open?.settle(charged.outcome, charged.timeMs);
          return verification;
        } catch (error) {
          throw this.withdraw(decided, error);
        }
      }
      case 'replay':
        return this.#replay(decided.charge, await decided.outcome, requestId);
    }
  }

  /** Gives back what a decision has consumed that is not answered. @returns what to throw instead of it */
  withdraw(decided: Decided, error: unknown): unknown {
    if (decided.kind !== 'charged') return error;
    const told = this.#deps.meter.withdraw(decided.charged, error);
    decided.open?.fail(told);
    return told;
  }

  /** Counts an answer that is given. One that only explains is no decision about anybody's request. */
  count(asked: VerifyRequest, { code }: Verification): void {
    if (!asked.explain) this.#deps.counters.count('verify', code);
  }

  /**
   * Looks up what `decide` needs, so that it need not wait; for a batch, of which many wait at once. What there is none
   * of memory does not keep, so that is in the answer.
   */
  async warmUp(caller: KeyRecord, asked: VerifyRequest): Promise<LookedUp> {
    const key = await this.#subjectOf(caller, asked.key);
    return { key, tenant: key === null ? null : await this.#tenantOf(key, asked) };
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
    lookedUp?: LookedUp,
  ): Decided | Promise<Decided> {
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
    const tenant =
      lookedUp?.key === key && !isOutdated(lookedUp) ? lookedUp.tenant : this.#tenantOf(key, asked);
    if (tenant instanceof Promise)
      return tenant.then((record) => this.#decideAnew(caller, asked, record, named));
    return this.#decide(caller, key, asked, tenant, named);
  }

  /** After a wait: the key may have been revoked in the meantime, and memory knows by now. */
  async #decideAnew(
    caller: KeyRecord,
    asked: VerifyRequest,
    tenant: TenantAsked,
    requestId: string,
  ): Promise<Decided> {
    const key = await this.#subjectOf(caller, asked.key);
    return key === null ? notFound(asked, requestId) : this.#decide(caller, key, asked, tenant, requestId);
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

  #decide(
    caller: KeyRecord,
    key: KeyRecord,
    asked: VerifyRequest,
    tenant: TenantAsked,
    requestId: string,
  ): Decided | Promise<Decided> {
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
    const { cost, limits: namedCosts } = asked;
    if (asked.explain) {
      const charge: Charge = { key, decision, entrance: 'verify', cost, namedCosts };
      const isTenantKnown = tenant !== 'unavailable';
      return this.#explain(charge, { request, nowMs, isTenantKnown }, asked.key, requestId);
    }
    if (asked.request_id === undefined)
      return this.#charge({ key, decision, entrance: 'verify', cost, namedCosts }, null, requestId);
    const fingerprint = fingerprintOf(caller, key, asked);
    const charge: Charge = { key, decision, entrance: 'verify', cost, namedCosts, fingerprint };
    const name = nameOf(fingerprint);
    const outcome = this.#deps.replays.find(name, nowMs);
    if (outcome !== null) return { kind: 'replay', charge, outcome, requestId };
    return this.#charge(charge, this.#deps.replays.begin(name), requestId);
  }

  #charge(charge: Charge, open: OpenReplay | null, requestId: string): Decided | Promise<Decided> {
    try {
      const charged = this.#deps.meter.charge(charge);
      if (!(charged instanceof Promise)) return { kind: 'charged', charged, open, requestId };
      return charged.then(
        (settled): Decided => ({ kind: 'charged', charged: settled, open, requestId }),
        (error: unknown) => {
          open?.fail(error);
          throw error;
        },
      );
    } catch (error) {
      open?.fail(error);
      throw error;
    }
  }

  #answer({ charge, refusal, limits }: Charged, requestId: string): Verification {
    const { key, decision } = charge;
    const code = refusal === null ? 'VALID' : (refusals[refusal].verifyCode as VerifyCode);
    const warnings = this.#warnings(decision);
    const body = decidedBody(key, decision, code, { requestId, warnings, limits });
    return { subject: key, code, limits, body };
  }

  /** What would be refused by now is; else it is as it was decided the first time, and costs nothing more. */
  async #replay(charge: Charge, outcome: Outcome, requestId: string): Promise<Verification> {
    const { key, decision } = charge;
    const code = decision.valid ? (outcome as VerifyCode) : refusals[decision.refusal].verifyCode;
    const limits = await this.#deps.meter.peekAgain(charge, code);
    const warnings = this.#warnings(decision);
    return {
      subject: key,
      code,
      limits,
      body: decidedBody(key, decision, code, { requestId, warnings, limits }),
    };
  }

  async #explain(
    charge: Charge,
    circumstances: { request: DecisionRequest; nowMs: number; isTenantKnown: boolean },
    secret: string,
    requestId: string,
  ): Promise<Decided> {
    const { key, decision } = charge;
    const limits = await this.#deps.meter.peek(charge);
    const checks = explain({ ...circumstances, record: key, secret, limits });
    const code = checks.find(({ outcome }) => outcome === 'failed')?.code ?? 'VALID';
    const warnings = this.#warnings(decision);
    const body = decidedBody(key, decision, code, { requestId, warnings, limits, checks });
    return { kind: 'told', verification: { subject: key, code, limits, body }, requestId };
  }

  #warnings(decision: Decision): readonly string[] {
    const warnings = decision.valid ? decision.warnings : [];
    return this.#deps.freshness.isFresh() || this.#deps.freshness.mode !== 'stale'
      ? warnings
      : [...warnings, 'stale'];
  }
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

function isOutdated({ tenant }: LookedUp): boolean {
  return tenant !== null && tenant !== 'unavailable' && tenant.isStale;
}

function notFound(asked: VerifyRequest, requestId: string): Decided {
  const checks = asked.explain ? explainUnknown(asked.key) : undefined;
  const body = notFoundBody(requestId, checks);
  const verification = { subject: null, code: 'NOT_FOUND', limits: null, body } as const;
  return { kind: 'told', verification, requestId };
}

function orUnavailable(error: unknown): 'unavailable' {
  if (error instanceof AppError && error.code === 'unavailable') return 'unavailable';
  throw error;
}
