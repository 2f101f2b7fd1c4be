import { endOf } from '../api-keys/api-key.ts';
import { compileIpRanges } from '../api-keys/ip-ranges.ts';
import { AppError } from '../errors.ts';
import type { Transaction } from '../postgres/database.ts';
import { refusalOfIp, refusalOfOrigin } from '../verification/checks.ts';
import { type Principal, permissionsOf } from './principal.ts';

/** Where a request comes from, as far as a key's restrictions look at it. */
export interface Whence {
  origin: string | undefined;
  hasBrowserHeaders: boolean;
  ip: string;
}

/**
 * The caller as it stands in the database now, in the transaction that is about to act for it.
 *
 * Who calls is known before the body is read. A caller may hold its body back for half a minute, and a request may wait
 * for its turn: without this, a key that was revoked meanwhile could still make itself a successor.
 *
 * @param options.hasEndedIssuer the transaction itself may have put the caller's issuer out of use, which is not held
 *   against it
 * @throws the refusal of a key that has died since, as `decide` has it
 */
export async function confirmCaller(
  tx: Transaction,
  principal: Principal,
  whence: Whence,
  now: Date,
  { hasEndedIssuer = false }: { hasEndedIssuer?: boolean } = {},
): Promise<Principal> {
  const row = await tx
    .selectFrom('api_keys as k')
    .innerJoin('accounts as a', 'a.id', 'k.account_id')
    .leftJoin('issuers as i', 'i.id', 'k.issuer_id')
    .leftJoin('organizations as o', 'o.id', 'k.organization_id')
    .select(['k.status', 'k.scopes', 'k.expires_at', 'k.retires_at'])
    .select(['k.origins', 'k.browsers', 'k.require_origin', 'k.ips'])
    .select(['a.status as account_status', 'i.status as issuer_status', 'i.deleting as issuer_deleting'])
    .select('o.status as organization_status')
    .where('k.account_id', '=', principal.accountId)
    .where('k.id', '=', principal.keyId)
    // As `isLeftBehind` has it.
    .where((eb) => eb.or([eb('k.organization_id', 'is', null), eb('o.id', 'is not', null)]))
    .executeTakeFirst();
  if (row === undefined || (row.issuer_deleting === true && !hasEndedIssuer))
    throw new AppError('invalid_key');
  if (row.status !== 'active') throw new AppError(row.status === 'disabled' ? 'disabled_key' : 'revoked_key');
  const expiresAt = endOf(row);
  if (expiresAt !== null && expiresAt <= now) throw new AppError('expired_key');
  if (row.account_status !== 'active') throw new AppError('account_suspended');
  if (row.issuer_status === 'suspended' && !hasEndedIssuer) throw new AppError('issuer_suspended');
  if (row.organization_status === 'suspended') throw new AppError('tenant_suspended');
  const restricted =
    refusalOfOrigin({ ...row, requireOrigin: row.require_origin }, whence) ??
    refusalOfIp({ ips: row.ips.length === 0 ? null : compileIpRanges(row.ips) }, whence.ip);
  if (restricted !== null) throw new AppError(restricted);
  return {
    ...principal,
    permissions: permissionsOf(row.scopes, principal.issuerId),
    bounds: { expiresAt, ips: row.ips },
  };
}
