import { endOf } from '../api-keys/api-key.ts';
import { AppError } from '../errors.ts';
import type { Transaction } from '../postgres/database.ts';
import { type Principal, permissionsOf } from './principal.ts';

/**
 * The caller as it stands in the database now, in the transaction that is about to act for it.
 *
 * Who calls is known before the body is read. A caller may hold its body back for half a minute, and a request may wait
 * for its turn: without this, a key that was revoked meanwhile could still make itself a successor.
 *
 * @throws the refusal of a key that has died since, as `decide` has it
 */
export async function confirmCaller(tx: Transaction, principal: Principal, now: Date): Promise<Principal> {
  const row = await tx
    .selectFrom('api_keys as k')
    .innerJoin('accounts as a', 'a.id', 'k.account_id')
    .leftJoin('issuers as i', 'i.id', 'k.issuer_id')
    .leftJoin('organizations as o', 'o.id', 'k.organization_id')
    .select(['k.status', 'k.scopes', 'k.ips', 'k.expires_at', 'k.retires_at'])
    .select(['a.status as account_status', 'i.status as issuer_status', 'i.deleting as issuer_deleting'])
    .select('o.status as organization_status')
    .where('k.account_id', '=', principal.accountId)
    .where('k.id', '=', principal.keyId)
    .executeTakeFirst();
  if (row === undefined || row.issuer_deleting === true) throw new AppError('invalid_key');
  if (row.status !== 'active') throw new AppError(row.status === 'disabled' ? 'disabled_key' : 'revoked_key');
  const expiresAt = endOf(row);
  if (expiresAt !== null && expiresAt <= now) throw new AppError('expired_key');
  if (row.account_status !== 'active') throw new AppError('account_suspended');
  if (row.issuer_status === 'suspended') throw new AppError('issuer_suspended');
  if (row.organization_status === 'suspended') throw new AppError('tenant_suspended');
  return {
    ...principal,
    permissions: permissionsOf(row.scopes, principal.issuerId),
    bounds: { expiresAt: row.expires_at, ips: row.ips },
  };
}
