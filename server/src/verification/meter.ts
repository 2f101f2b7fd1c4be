import { AppError, type FieldError, invalidFields } from '../errors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { LedgerUnavailableError } from '../ledger/ledger-unavailable.ts';
import type { Entrance, Outcome } from '../ledger/outcome.ts';
import type { LimitDecision, LimitFault } from '../limits/limit-decision.ts';
import type { Limiter, LimitRequest } from '../limits/limiter.ts';
import type { NamedCost } from '../limits/limits.ts';
import type { Decision } from './decide.ts';
import { limitLevelsOf } from './limit-levels.ts';
import type { KeyRecord } from './records.ts';
import { type RefusalCode, refusals } from './refusals.ts';

/** A decision by the checks of `decide`, on its way to the limits and onto record. */
export interface Charge {
  readonly key: KeyRecord;
  readonly decision: Decision;
  readonly entrance: Entrance;
  /** 1 unless given. */
  readonly cost?: number | undefined;
  readonly namedCosts?: readonly NamedCost[] | undefined;
  /** See `LedgerRecord`. */
  readonly fingerprint?: Uint8Array | undefined;
}

/** What a decision came to once the limits were asked. */
export interface Charged {
  readonly charge: Charge;
  readonly refusal: RefusalCode | null;
  readonly outcome: Outcome;
  /** How the limits stand; null where none governs, or none was asked. */
  readonly limits: LimitDecision | null;
  readonly timeMs: number;
}

interface Dependencies {
  limiter: Limiter;
  ledger: Pick<Ledger, 'append' | 'state'>;
  /** Milliseconds since 1970, never going back. */
  nowMs: () => number;
}

const callerEveryMs = 20_000;
const maxCallers = 10_000;

/**
 * The last step of every decision about a key: limits, all or none, and the record of it. What has not come to be on
 * record is answered 503 and has consumed nothing.
 */
export class Meter {
  readonly #limiter: Limiter;
  readonly #ledger: Pick<Ledger, 'append' | 'state'>;
  readonly #nowMs: () => number;
  /** When those who verify were last noted. */
  readonly #callers = new Map<string, number>();

  constructor({ limiter, ledger, nowMs }: Dependencies) {
    this.#limiter = limiter;
    this.#ledger = ledger;
    this.#nowMs = nowMs;
  }

  /**
   * Asks the limits; a request that another check has refused consumes nothing. To be followed by `record`, or by
   * `withdraw` where it is not to count after all.
   *
   * @throws unavailable (503) while nothing can be recorded; invalid_request (422) for a cost that no waiting makes room for
   */
  charge(charge: Charge): Charged | Promise<Charged> {
    if (this.#ledger.state.kind !== 'writable') throw unrecorded();
    const request = limitRequestOf(charge);
    if (!charge.decision.valid) return this.#refuse(charge, charge.decision.refusal, request);
    if (request === null)
      return { charge, refusal: null, outcome: 'VALID', limits: null, timeMs: this.#nowMs() };
    const decided = this.#limiter.admit(request);
    return decided instanceof Promise
      ? decided.then((limits) => settle(charge, limits))
      : settle(charge, decided);
  }

  /**
   * What `charge` would say, with nothing consumed.
   *
   * @throws invalid_request (422) as `charge` does; of what another check refuses the cost is not judged
   */
  async peek(charge: Charge): Promise<LimitDecision | null> {
    const request = limitRequestOf(charge);
    if (request === null) return null;
    const limits = await this.#limiter.peek(request);
    if (!isFault(limits)) return limits;
    if (charge.decision.valid) throw invalidFields(errorsOf(charge, limits));
    return this.#stand(request);
  }

  /** How the limits stand for a request that was decided before, with this outcome, and takes nothing any more. */
  peekAgain(charge: Charge, outcome: string): LimitDecision | null | Promise<LimitDecision | null> {
    const request = limitRequestOf(charge);
    const { decision } = charge;
    if (request === null || !(decision.valid || refusals[decision.refusal].status === 403)) return null;
    const isByLimits = decision.valid && (outcome === 'RATE_LIMITED' || outcome === 'QUOTA_EXCEEDED');
    return isByLimits ? this.#limiter.peek(request) : this.#stand(request);
  }

  /**
   * Puts the decision on record; only once this resolves may it be answered.
   *
   * @throws LedgerUnavailableError; then `withdraw` says what to answer
   */
  record({ charge, outcome, limits, timeMs }: Charged): Promise<void> {
    const { key, decision, entrance, cost = 1, fingerprint } = charge;
    const { organization } = decision;
    return this.#ledger.append({
      timeMs,
      keyId: key.id,
      lineageId: key.lineageId,
      accountId: key.account.id,
      issuerId: key.issuer === null ? null : key.issuer.id,
      organizationId: organization === null ? null : organization.id,
      environment: key.environment,
      outcome,
      cost,
      entrance,
      fingerprint: fingerprint ?? null,
      charges: limits?.admitted === true ? limits.limits : noCharges,
    });
  }

  /**
   * Gives back what a decision has consumed that is not answered.
   *
   * @param error why; of a record that may count all the same nothing is given back
   * @returns what to throw instead of answering
   */
  withdraw({ limits }: Charged, error: unknown): unknown {
    const isUnrecorded = error instanceof LedgerUnavailableError;
    const mayCount = isUnrecorded && error.mayBeCounted;
    if (limits?.admitted === true && !mayCount) void this.#limiter.refund(limits);
    return isUnrecorded ? unrecorded(error) : error;
  }

  /**
   * Meters a call of the management API by the key of its caller, apart from traffic. It takes from no limit, and goes
   * on unmetered where nothing can be recorded: that must not keep an operator from mending it.
   *
   * @param refusal why the caller was turned away; null where it was let in
   * @returns a promise that never rejects
   */
  recordCall(key: KeyRecord, refusal: RefusalCode | null): Promise<void> {
    const outcome = refusal === null ? 'VALID' : (refusals[refusal].verifyCode as Outcome);
    return this.#note(key, outcome, 'management');
  }

  /**
   * Says that a key has been used to verify others, which is no decision about it: so that its owner does not take it
   * for unused. To be called each time; what it costs comes three times a minute.
   */
  noteCaller(key: KeyRecord): void {
    const nowMs = this.#nowMs();
    if (nowMs < (this.#callers.get(key.id) ?? Number.NEGATIVE_INFINITY) + callerEveryMs) return;
    if (this.#callers.size >= maxCallers) this.#callers.clear();
    this.#callers.set(key.id, nowMs);
    void this.#note(key, 'VALID', 'caller');
  }

  #note(key: KeyRecord, outcome: Outcome, entrance: Entrance): Promise<void> {
    return this.#ledger
      .append({
        timeMs: this.#nowMs(),
        keyId: key.id,
        lineageId: key.lineageId,
        accountId: key.account.id,
        issuerId: key.issuer === null ? null : key.issuer.id,
        organizationId: key.organization === null ? null : key.organization.id,
        environment: key.environment,
        outcome,
        cost: 1,
        entrance,
        fingerprint: null,
        charges: noCharges,
      })
      .catch(() => {});
  }

  /** A refusal says how the limits stand, too, as long as the key is one that may use them. */
  #refuse(charge: Charge, refusal: RefusalCode, request: LimitRequest | null): Charged | Promise<Charged> {
    const { status, verifyCode } = refusals[refusal];
    const charged = (limits: LimitDecision | null): Charged => ({
      charge,
      refusal,
      outcome: verifyCode as Outcome,
      limits,
      timeMs: this.#nowMs(),
    });
    if (request === null || status !== 403) return charged(null);
    // What its cost is wrong with is told once nothing else is.
    const stand = this.#stand(request);
    return stand instanceof Promise ? stand.then(charged) : charged(stand);
  }

  /** Of a request that limits have no part in: that they have no room is no reason, and to wait does not help it. */
  #stand({ accountId, levels }: LimitRequest): LimitDecision | Promise<LimitDecision> {
    return this.#limiter.peek({ accountId, levels, cost: 0 });
  }
}

/**
 * Charges a decision and puts it on record, in one; what `/v1/me` and `/v1/authorize` do.
 *
 * @throws unavailable (503) where it is not on record; then nothing is consumed
 */
export async function chargeAndRecord(meter: Meter, charge: Charge): Promise<Charged> {
  const charging = meter.charge(charge);
  const charged = charging instanceof Promise ? await charging : charging;
  try {
    await meter.record(charged);
  } catch (error) {
    throw meter.withdraw(charged, error);
  }
  return charged;
}

const noCharges: readonly [] = Object.freeze([]);

function limitRequestOf({ key, decision, cost, namedCosts }: Charge): LimitRequest | null {
  const levels = limitLevelsOf(key, decision.organization);
  if (levels.length === 0 && namedCosts === undefined) return null;
  return { accountId: key.account.id, levels, cost, namedCosts };
}

function settle(charge: Charge, limits: LimitDecision): Charged {
  const { nowMs: timeMs } = limits;
  if (limits.admitted) return { charge, refusal: null, outcome: 'VALID', limits, timeMs };
  switch (limits.code) {
    case 'rate_limited':
      return { charge, refusal: 'rate_limited', outcome: 'RATE_LIMITED', limits, timeMs };
    case 'quota_exceeded':
      return { charge, refusal: 'quota_exceeded', outcome: 'QUOTA_EXCEEDED', limits, timeMs };
    default:
      throw invalidFields(errorsOf(charge, limits));
  }
}

function isFault(limits: LimitDecision): limits is LimitFault {
  return !limits.admitted && (limits.code === 'cost_exceeds_limit' || limits.code === 'unknown_limit');
}

/** What is wrong with the costs of a request, by the members of a verify body. */
function errorsOf({ namedCosts = [] }: Charge, { code, names }: LimitFault): FieldError[] {
  return names.map((name) => {
    const index = namedCosts.findIndex((named) => named.name === name);
    if (code === 'unknown_limit')
      return {
        path: `limits[${index}].name`,
        message: `no limit of this name governs the key; take one that the answer’s limits list`,
        code: 'unknown_limit',
      };
    return {
      path: index === -1 ? 'cost' : `limits[${index}].cost`,
      message: `is more than the limit "${name}" ever allows; ask for less`,
      code: 'cost_exceeds_limit',
    };
  });
}

function unrecorded(cause?: unknown): AppError {
  return new AppError('unavailable', {
    detail: 'The decision can’t be put on record at the moment, so it was not made. Try again shortly.',
    headers: { 'Retry-After': '1' },
    cause,
  });
}
