import type { LimitDecision, LimitState } from '../limits/limit-decision.ts';
import type { Decision } from './decide.ts';
import type { CheckReport } from './explain.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import type { RefusedVerifyCode } from './refusals.ts';

/** The `code` of a verify answer. */
export type VerifyCode = 'VALID' | RefusedVerifyCode;

/** What an answer says beside the key and its decision. */
interface Circumstances {
  requestId: string;
  warnings: readonly string[];
  /** How the limits stand; null where none governs. */
  limits: LimitDecision | null;
  /** With `explain`: every check. */
  checks?: readonly CheckReport[] | undefined;
}

/** The body of an answer about no key that the caller may know of: not a byte tells why. */
export function notFoundBody(requestId: string, checks?: readonly CheckReport[]): string {
  const explanation = checks === undefined ? '' : `,"checks":${JSON.stringify(checks)}`;
  return `{"valid":false,"code":"NOT_FOUND","request_id":${JSON.stringify(requestId)},"key":null,"account_id":null,"issuer_id":null,"organization":null,"environment":null,"scopes":[],"limits":[],"warnings":[]${explanation}}`;
}

/**
 * The body of an answer about a key that the caller sees. Put together by hand, which takes half the time of making an
 * object for `JSON.stringify`; what may hold any character is still written by that.
 */
export function decidedBody(
  key: KeyRecord,
  decision: Decision,
  code: VerifyCode,
  { requestId, warnings, limits, checks }: Circumstances,
): string {
  const isValid = code === 'VALID';
  const { organization } = decision;
  const expiresAt = key.expiresAtMs === null ? 'null' : `"${new Date(key.expiresAtMs).toISOString()}"`;
  const scopes = isValid && decision.valid ? JSON.stringify(decision.scopes) : '[]';
  return (
    `{"valid":${isValid},"code":"${code}","request_id":${JSON.stringify(requestId)},` +
    `"key":{"id":"${key.id}","name":${JSON.stringify(key.name)},"kind":"${key.kind}",` +
    `"metadata":${JSON.stringify(key.metadata)},"expires_at":${expiresAt}},` +
    `"account_id":"${key.account.id}","issuer_id":${key.issuer === null ? 'null' : `"${key.issuer.id}"`},` +
    `"organization":${organization === null ? 'null' : organizationMember(organization)},` +
    `"environment":"${key.environment}","scopes":${scopes},` +
    `"limits":${limits === null ? '[]' : limitMembers(limits.limits)},` +
    `"warnings":${warnings.length === 0 ? '[]' : JSON.stringify(warnings)}` +
    `${checks === undefined ? '' : `,"checks":${JSON.stringify(checks)}`}}`
  );
}

function organizationMember({ id, externalId, name }: OrganizationRecord): string {
  return `{"id":"${id}","external_id":${JSON.stringify(externalId)},"name":${JSON.stringify(name)}}`;
}

function limitMembers(limits: readonly LimitState[]): string {
  let list = '';
  for (const { level, name, limit, remaining, resetSeconds, exceeded } of limits) {
    const separator = list === '' ? '[' : ',';
    list += `${separator}{"name":${JSON.stringify(name)},"level":"${level.kind}","limit":${limit},"remaining":${remaining},"reset":${resetSeconds},"exceeded":${exceeded}}`;
  }
  return `${list === '' ? '[' : list}]`;
}
