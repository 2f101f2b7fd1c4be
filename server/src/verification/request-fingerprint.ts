import { hash } from 'node:crypto';
import { fingerprintBytes } from '../ledger/record.ts';
import { isExpression, printScopeExpression } from '../scopes/scope-expression.ts';
import type { KeyRecord } from './records.ts';
import type { VerifyRequest } from './verify-request.ts';

/**
 * What tells a request that is sent again from every other: who asks, about which key, under which request_id, and what
 * for. The key stands in it by its id, so that nothing of its secret does.
 *
 * @param asked its request_id is given
 */
export function fingerprintOf(caller: KeyRecord, key: KeyRecord, asked: VerifyRequest): Uint8Array {
  const { request_id, origin, ip, tenant, environment, scopes, cost, limits } = asked;
  const demand = isExpression(scopes) ? printScopeExpression(scopes) : scopes;
  const members = [caller.id, key.id, request_id, origin, ip, tenant, environment, demand, cost, limits];
  // An undefined member is null in it, which no member is.
  return hash('sha256', JSON.stringify(members), 'buffer').subarray(0, fingerprintBytes);
}
