import type { LimitDecision, LimitState } from '../limits/limit-decision.ts';
import type { Decision } from './decide.ts';
import type { CheckReport } from './explain.ts';
import type { KeyRecord } from './records.ts';
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

/** The body of an answer about a key that the caller sees. */
export function decidedBody(
  key: KeyRecord,
  decision: Decision,
  code: VerifyCode,
  { requestId, warnings, limits, checks }: Circumstances,
): string {
  const { organization } = decision;
  const isValid = code === 'VALID';
  return JSON.stringify({
    valid: isValid,
    code,
    request_id: requestId,
    key: {
      id: key.id,
      name: key.name,
      kind: key.kind,
      metadata: key.metadata,
      expires_at: key.expiresAtMs === null ? null : new Date(key.expiresAtMs).toISOString(),
    },
    account_id: key.account.id,
    issuer_id: key.issuer?.id ?? null,
    organization: organization && {
      id: organization.id,
      external_id: organization.externalId,
      name: organization.name,
    },
    environment: key.environment,
    scopes: isValid && decision.valid ? decision.scopes : [],
    limits: limits === null ? [] : limits.limits.map(toLimitMember),
    warnings,
    checks,
  });
}

function toLimitMember({ level, name, limit, remaining, resetSeconds, exceeded }: LimitState) {
  return { name, level: level.kind, limit, remaining, reset: resetSeconds, exceeded };
}
