import { sql } from 'kysely';
import pg from 'pg';
import { mayDo, type Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { insertEvent } from '../events/event-store.ts';
import type { Route } from '../http/route.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { type ManagementPermission, managementPermissions, permissionsOfAccount } from '../scopes/scope.ts';
import { findActiveGrant, isFirstUseOfHour } from './support-grant-store.ts';

/** Names the account that the operator wants to read in. */
export const supportAccountHeader = 'X-Gatelodge-Account';
/** Tells by which grant an answer was read. */
export const supportGrantHeader = 'X-Gatelodge-Support-Grant';

/** What lets support in is no part of what it is let in to, and in mails are codes by which users sign in. */
const neverOpen: readonly ManagementPermission[] = ['gatelodge.support-grants:read', 'gatelodge.mails:read'];
/** SQLSTATE read_only_sql_transaction. */
const readOnlyTransaction = '25006';

const ofCustomer = permissionsOfAccount({ isOperator: false });

/** What a grant opens: everything that a customer's account may read about itself, and nothing that changes it. */
export const supportPermissions: ReadonlySet<ManagementPermission> = new Set(
  managementPermissions.filter(
    (permission) =>
      permission.endsWith(':read') && !neverOpen.includes(permission) && ofCustomer.has(permission),
  ),
);

/** Whether the operator may carry this operation out in another account by a grant of it. */
export function isOpenToSupport(route: Route): boolean {
  return (
    route.handler !== null &&
    route.method === 'GET' &&
    route.level !== 'operator' &&
    route.permission !== null &&
    supportPermissions.has(route.permission)
  );
}

/**
 * Refuses what no grant could allow, before any is looked for: so these answers tell nothing about grants.
 *
 * @throws permission_denied
 */
export function requireSupportCaller(caller: Principal, route: Route): void {
  if (!caller.isOperator) {
    throw new AppError('permission_denied', {
      detail: `Only a live account key of the operator may send ${supportAccountHeader}.`,
    });
  }
  if (!isOpenToSupport(route)) {
    throw new AppError('permission_denied', {
      detail: `With ${supportAccountHeader} the operator may only read, and neither accounts nor support grants nor mails.`,
    });
  }
}

/**
 * The operator's key as it is within an account that has let it in: it reads there, and never more than it may at home.
 *
 * @param wanted the value of the header, whatever it is
 * @throws not_found for an account without an active grant and for one that does not exist alike
 */
export async function enterAccount(
  database: Database,
  caller: Principal,
  wanted: string,
  now: Date,
): Promise<Principal & { supportGrantId: string }> {
  const grant = await findActiveGrant(database, caller.accountId, wanted, now);
  if (grant === null) throw new AppError('not_found');
  return {
    ...caller,
    accountId: grant.accountId,
    permissions: new Set([...supportPermissions].filter((permission) => mayDo(caller, permission))),
    isOperator: false,
    supportGrantId: grant.id,
  };
}

/**
 * Reads by a grant: tells the account of the first read in each hour (without the operator's key and address), and
 * then has Postgres itself refuse every write for the rest of the transaction.
 *
 * A read that fails is rolled back with its event: it has shown nothing.
 *
 * @throws not_found when the grant has ended since it was found; internal_error when `read` writes
 */
export async function readByGrant<T>(
  tx: Transaction,
  { accountId, grantId }: { accountId: string; grantId: string },
  { requestId, now }: { requestId: string; now: Date },
  read: () => Promise<T>,
): Promise<T> {
  if (await isFirstUseOfHour(tx, { id: grantId, accountId }, now)) {
    const actor = { type: 'system', id: 'operator', ip: null, user_agent: null } as const;
    await insertEvent(
      tx,
      { accountId, actor, requestId },
      { type: 'support-grant.used', subject: { type: 'support_grant', id: grantId }, environment: 'live' },
    );
  }
  await sql`set transaction read only`.execute(tx);
  return read().catch(asOurFault);
}

/**
 * Elsewhere this error means a primary that has become a standby, and that a retry may help. Here the primary has just
 * taken a write: it is an operation that claims to read and does not.
 */
function asOurFault(error: unknown): never {
  if (error instanceof pg.DatabaseError && error.code === readOnlyTransaction)
    throw new AppError('internal_error', { cause: error });
  throw error;
}
