import { looksLikeKeySecret } from '../api-keys/key-secret.ts';
import type { LimitDecision } from '../limits/limit-decision.ts';
import { isExpression, printScopeExpression, scopesLacking } from '../scopes/scope-expression.ts';
import {
  type DecisionRefusal,
  type DecisionRequest,
  effectiveScopes,
  exposurePolicy,
  namedTenant,
  refusalOfAccount,
  refusalOfEnvironment,
  refusalOfExpiry,
  refusalOfExposure,
  refusalOfIp,
  refusalOfIssuer,
  refusalOfOrigin,
  refusalOfScope,
  refusalOfStatus,
  refusalOfTenant,
} from './checks.ts';
import type { KeyRecord } from './records.ts';
import { type RefusedVerifyCode, refusals } from './refusals.ts';

/** Every check of a verification, in the order in which they decide. */
export const checkNames = [
  'present',
  'well_formed',
  'known',
  'status',
  'expiry',
  'account',
  'issuer',
  'environment',
  'tenant',
  'origin',
  'secret_key_in_browser',
  'ip',
  'scope',
  'limits',
] as const;

export const checkOutcomes = ['passed', 'failed', 'skipped'] as const;

type CheckName = (typeof checkNames)[number];

/** What became of one check. */
export interface CheckReport {
  readonly check: CheckName;
  /** `skipped`: there was nothing to decide. */
  readonly outcome: (typeof checkOutcomes)[number];
  /** Of a check that failed. */
  readonly code: RefusedVerifyCode | null;
  /**
   * The fact that decided, for people. Never an origin, an address range or a tenant that the caller has not named
   * itself: who may verify a key may not read it for that.
   */
  readonly message: string;
}

/** What an explanation looks at. */
interface Asked {
  readonly record: KeyRecord;
  /** As it was presented. */
  readonly secret: string;
  readonly request: DecisionRequest;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Whether the tenant could be looked up. Where it could not, the key is refused by an earlier check. */
  readonly isTenantKnown: boolean;
  /** How the limits stand towards the request; null where none governs the key. */
  readonly limits: LimitDecision | null;
}

/**
 * Every check of a key that the caller sees, each on its own, whether or not an earlier one has failed. Its first
 * failure is what `decide` refuses with, since both ask the same checks.
 */
export function explain({ record, secret, request, nowMs, isTenantKnown, limits }: Asked): CheckReport[] {
  return [
    present,
    record.isImported
      ? passed('well_formed', 'An imported key has the form of where it came from.')
      : formOf(secret),
    passed('known', 'It is a key that the caller may see.'),
    explainStatus(record),
    explainExpiry(record, nowMs),
    explainAccount(record),
    explainIssuer(record),
    explainEnvironment(record, request),
    isTenantKnown
      ? explainTenant(record, request)
      : skipped('tenant', 'Whose tenant this is can’t be looked up at the moment.'),
    explainOrigin(record, request),
    explainExposure(record, request),
    explainIp(record, request),
    explainScope(record, request),
    explainLimits(limits),
  ];
}

/**
 * The same of what is no key to the caller: of none, of another account's, or of one above its level. All that it tells
 * follows from the text that was presented, so that it is the same for each of them; the check part stays out of it,
 * which would tell a key that was made here from one that was made up.
 */
export function explainUnknown(secret: string): CheckReport[] {
  const [, , , ...rest] = checkNames;
  return [
    present,
    formOf(secret),
    failed('known', 'invalid_key', 'No key that the caller may see has this secret.'),
    ...rest.map((check) => skipped(check, 'The key is not known.')),
  ];
}

const present = passed('present', 'A key was presented.');

function formOf(secret: string): CheckReport {
  if (looksLikeKeySecret(secret))
    return passed('well_formed', 'It has the form of a key: a prefix, then 44 letters and digits.');
  const advice = /\s/.test(secret)
    ? 'it has white space in it'
    : `it has ${secret.length} characters; was it cut off, or has something been added?`;
  return failed(
    'well_formed',
    'invalid_key',
    `A key is a prefix, then 44 letters and digits, and ${advice}.`,
  );
}

function explainStatus(record: KeyRecord): CheckReport {
  const message = `The key is ${record.status}.`;
  return told('status', refusalOfStatus(record), message, message);
}

function explainExpiry(record: KeyRecord, nowMs: number): CheckReport {
  const { expiresAtMs, rotatedAtMs } = record;
  if (expiresAtMs === null) return skipped('expiry', 'The key has no expiry.');
  const end =
    rotatedAtMs === null ? 'expiry' : 'expiry or the end of the grace after its rotation, the earlier';
  const times = `${instant(expiresAtMs)} (its ${end}); it is ${instant(nowMs)}`;
  return told(
    'expiry',
    refusalOfExpiry(record, nowMs),
    `The key works until ${times}.`,
    `The key worked until ${times}.`,
  );
}

function explainAccount(record: KeyRecord): CheckReport {
  const message = `The account is ${record.account.status}.`;
  return told('account', refusalOfAccount(record), message, message);
}

function explainIssuer(record: KeyRecord): CheckReport {
  if (record.issuer === null) return skipped('issuer', 'The key is the account’s and has no issuer.');
  const message = `The issuer is ${record.issuer.status}.`;
  return told('issuer', refusalOfIssuer(record), message, message);
}

function explainEnvironment(record: KeyRecord, { environment }: DecisionRequest): CheckReport {
  if (environment === undefined) return skipped('environment', 'No environment is demanded.');
  const message = `The key is of ${record.environment}, and ${environment} is demanded.`;
  return told('environment', refusalOfEnvironment(record, environment), message, message);
}

function explainTenant(record: KeyRecord, request: DecisionRequest): CheckReport {
  const tenant = namedTenant(record, request);
  const refusal = refusalOfTenant(record, request, tenant);
  if (refusal !== null) return failed('tenant', refusal, tenantFaults[refusal] ?? refusals[refusal].message);
  if (request.tenantGiven) return passed('tenant', 'The key may act for the tenant, which is active.');
  if (record.organization !== null) return passed('tenant', 'The key’s own organization is active.');
  return skipped('tenant', 'No tenant is given, and none is required.');
}

/** One and the same for a tenant that is another's and one that there is none of: that is not the caller's to learn. */
const tenantFaults: Partial<Record<DecisionRefusal, string>> = {
  tenant_required: 'No tenant is given, and the issuer’s key profile requires one.',
  tenant_mismatch: 'The tenant is none that the key may act for.',
  tenant_suspended: 'The organization is suspended.',
};

function explainOrigin(record: KeyRecord, request: DecisionRequest): CheckReport {
  const { origin, hasBrowserHeaders } = request;
  const { origins, browsers, requireOrigin } = record;
  const listed = countOf(origins.length, 'origin');
  const refusal = refusalOfOrigin(record, request);
  if (refusal !== null) {
    if (browsers === 'deny' && hasBrowserHeaders)
      return failed('origin', refusal, 'The request comes from a browser, and the key keeps browsers out.');
    if (origin === undefined || origin === '')
      return failed('origin', refusal, 'No origin is given, and the key requires one.');
    return failed('origin', refusal, `The origin is none of the key’s ${listed}.`);
  }
  if (browsers === 'deny') return passed('origin', 'No origin is given, and the key keeps browsers out.');
  if (origins.length === 0 && !requireOrigin) return skipped('origin', 'The key has no list of origins.');
  if (origin === undefined) return skipped('origin', 'No origin is given, and the key does not require one.');
  if (origins.length === 0) return passed('origin', 'An origin is given, as the key requires; any will do.');
  return passed('origin', `The origin is allowed by the key’s ${listed}.`);
}

function explainExposure(record: KeyRecord, request: DecisionRequest): CheckReport {
  const check = 'secret_key_in_browser';
  if (record.kind === 'publishable') return skipped(check, 'Publishable keys may stand in a browser.');
  if (!request.hasBrowserHeaders) return skipped(check, 'No origin is given, so no browser sent the key.');
  const policy = exposurePolicy(record, request);
  return told(
    check,
    refusalOfExposure(policy),
    policy === 'warn'
      ? 'A secret key came from a browser; the issuer’s key profile warns of that.'
      : 'A secret key came from a browser, which the issuer’s key profile allows.',
    'A secret key came from a browser, which the issuer’s key profile denies.',
  );
}

function explainIp(record: KeyRecord, { ip }: DecisionRequest): CheckReport {
  if (record.ips === null) return skipped('ip', 'The key has no list of IP ranges.');
  const ranges = countOf(record.ips.length, 'IP range');
  return told(
    'ip',
    refusalOfIp(record, ip),
    `The address lies in the key’s ${ranges}.`,
    ip === undefined
      ? `No address is given, and the key has ${ranges}.`
      : `The address lies in none of the key’s ${ranges}.`,
  );
}

function explainScope(record: KeyRecord, { scopes }: DecisionRequest): CheckReport {
  if (!isExpression(scopes) && scopes.length === 0) return skipped('scope', 'No scopes are demanded.');
  const held = effectiveScopes(record);
  const lacking = scopesLacking(held, scopes);
  const unusable = lacking.filter((scope) => record.scopes?.includes(scope));
  const reason =
    unusable.length === 0
      ? ''
      : ` A publishable key may use only what its issuer lists as publishable, which ${unusable.join(', ')} is not.`;
  return told(
    'scope',
    refusalOfScope(held, scopes),
    'The key holds what is demanded.',
    isExpression(scopes)
      ? `The key does not meet ${printScopeExpression(scopes)}. Of these it lacks ${lacking.join(', ')}.${reason}`
      : `The key lacks ${lacking.join(', ')}.${reason}`,
  );
}

function explainLimits(limits: LimitDecision | null): CheckReport {
  if (limits === null) return skipped('limits', 'No limit governs the key.');
  if (limits.admitted || (limits.code !== 'rate_limited' && limits.code !== 'quota_exceeded'))
    return passed('limits', `Every limit has room: ${countOf(limits.limits.length, 'limit')}.`);
  const full = limits.limits.filter(({ exceeded }) => exceeded);
  const names = full.map(({ level, name }) => `${name} of the ${level.kind}`).join(', ');
  const wait =
    limits.retryAfterSeconds === null
      ? 'waiting does not help'
      : `there is room again in ${countOf(limits.retryAfterSeconds, 'second')}`;
  return failed('limits', limits.code, `No room is left in ${names}; ${wait}.`);
}

function told(
  check: CheckName,
  refusal: DecisionRefusal | null,
  messageWhenPassed: string,
  messageWhenFailed: string,
): CheckReport {
  return refusal === null ? passed(check, messageWhenPassed) : failed(check, refusal, messageWhenFailed);
}

function passed(check: CheckName, message: string): CheckReport {
  return { check, outcome: 'passed', code: null, message };
}

function failed(
  check: CheckName,
  refusal: DecisionRefusal | 'invalid_key' | 'rate_limited' | 'quota_exceeded',
  message: string,
): CheckReport {
  return { check, outcome: 'failed', code: refusals[refusal].verifyCode, message };
}

function skipped(check: CheckName, message: string): CheckReport {
  return { check, outcome: 'skipped', code: null, message };
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}
