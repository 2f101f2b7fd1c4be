import { createHash, hkdfSync } from 'node:crypto';
import { sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import type { Transaction } from '../postgres/database.ts';
import { isReservedScope } from '../scopes/scope.ts';
import { openEnvelope, sealEnvelope } from '../secrets/envelope.ts';
import type { Answer } from './route.ts';

const keptForHours = 24;
const keyPattern = /^[\x21-\x7e]{1,255}$/;

/** What makes two requests the same one: who, where, under which key, and with what. */
export interface IdempotentRequest {
  accountId: string;
  idempotencyKey: string;
  presentedSecret: string;
  /** What the caller may do now; no part of what makes requests the same. */
  permissions: Principal['permissions'];
  method: string;
  path: string;
  body: unknown;
}

/** An answer as it is kept. `permissions`: those that its caller had; a build before this one has kept none. */
type KeptAnswer = Answer & { permissions?: string[] | 'all' };

interface Creation {
  create: () => Promise<Answer>;
  undo: () => void;
}

/**
 * Carries a creation out once for each Idempotency-Key, in the transaction of the creation itself: either the object
 * and the record of its answer are both there or neither is.
 *
 * What is stored tells a thief of the database nothing: the record's id and the key that encrypts the answer are both
 * derived from the raw Idempotency-Key and the caller's secret, neither of which is stored.
 *
 * @param creation.create may run a second time, in a savepoint that is rolled back: what it does outside of `tx` has
 *   to wait for the commit
 * @param creation.undo takes back what `create` has laid up for after the commit
 * @throws idempotency_in_flight (409) while the first request runs; idempotency_mismatch (422) for another body;
 *   permission_denied (403) for a caller who has lost a permission since, by which the answer may tell more
 */
export async function once(
  tx: Transaction,
  request: IdempotentRequest,
  { create, undo }: Creation,
): Promise<Answer> {
  if (!keyPattern.test(request.idempotencyKey)) {
    throw new AppError('bad_request', {
      detail: 'Idempotency-Key must be 1 to 255 printable ASCII characters.',
    });
  }
  const id = derive(request, 'id');
  await lockOrRefuse(tx, id);
  const record = await tx
    .selectFrom('idempotency_records')
    .select(['fingerprint', 'response'])
    .where('account_id', '=', request.accountId)
    .where('id', '=', id)
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirst();
  const fingerprint = createHash('sha256')
    .update(JSON.stringify(request.body ?? null))
    .digest();
  if (record) {
    if (!record.fingerprint.equals(fingerprint)) throw new AppError('idempotency_mismatch');
    await authorizeAnew(tx, { create, undo });
    const stored = openEnvelope(derive(request, 'answer'), record.response, id.toString('hex'));
    const { permissions: had, ...answer } = JSON.parse(stored.toString()) as KeptAnswer;
    requireStill(had, request.permissions);
    return { ...answer, headers: { ...answer.headers, 'Idempotent-Replayed': 'true' } };
  }
  const answer = await create();
  const kept: KeptAnswer = { ...answer, permissions: managementOf(request.permissions) };
  const row = {
    fingerprint,
    response: sealEnvelope(derive(request, 'answer'), Buffer.from(JSON.stringify(kept)), id.toString('hex')),
    expires_at: sql<Date>`now() + make_interval(hours => ${keptForHours})`,
  };
  await tx
    .insertInto('idempotency_records')
    .values({ account_id: request.accountId, id, ...row })
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'id']).doUpdateSet({ ...row, created_at: sql<Date>`now()` }),
    )
    .execute();
  return answer;
}

/**
 * Carries the creation out again and undoes it, so that a replay is refused whatever the caller may no longer do: grant
 * a scope that was taken from it since, or reach an issuer that is gone. What its own success or the passing of time
 * has made impossible is no reason to withhold the answer; anything else is.
 */
async function authorizeAnew(tx: Transaction, { create, undo }: Creation): Promise<void> {
  await sql`savepoint replay`.execute(tx);
  try {
    await create();
  } catch (error) {
    if (!isOutdated(error)) throw error;
  }
  await sql`rollback to savepoint replay`.execute(tx);
  undo();
}

const outdatedCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'external_id_taken',
  'username_taken',
  'member_exists',
  'group_name_taken',
  'limit_reached',
  'plan_exists',
  'already_rotated',
  // Whoever names the version that it changes has changed it; what it may do is asked before.
  'precondition_failed',
]);

/**
 * Says whether a creation failed only because it was carried out before or because time has passed. By code and never
 * by status: which other errors share a status is nothing that this may depend on.
 */
function isOutdated(error: unknown): boolean {
  if (!(error instanceof AppError)) return false;
  const { code, errors = [] } = error;
  if (outdatedCodes.has(code)) return true;
  return (
    code === 'invalid_request' && errors.length > 0 && errors.every((each) => each.code === 'in_the_past')
  );
}

/** Its product scopes give a key nothing here. */
function managementOf(permissions: Principal['permissions']): string[] | 'all' {
  return permissions === 'all' ? 'all' : [...permissions].filter(isReservedScope).sort();
}

/** @throws permission_denied */
function requireStill(had: KeptAnswer['permissions'], has: Principal['permissions']): void {
  if (had === undefined || has === 'all') return;
  if (had !== 'all' && had.every((permission) => has.has(permission))) return;
  throw new AppError('permission_denied', {
    detail: 'The API key has lost a permission since it was answered under this Idempotency-Key.',
  });
}

/** An advisory lock rather than the row: the row of a request in flight is not visible to anyone yet. */
async function lockOrRefuse(tx: Transaction, id: Buffer): Promise<void> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${id.readBigInt64BE(0).toString()}::bigint) as locked`.execute(tx);
  if (!rows[0]?.locked) throw new AppError('idempotency_in_flight', { headers: { 'Retry-After': '1' } });
}

function derive(request: IdempotentRequest, purpose: 'id' | 'answer'): Buffer {
  const secretParts = JSON.stringify([request.presentedSecret, request.idempotencyKey]);
  const scope = JSON.stringify([purpose, request.accountId, request.method, request.path]);
  return Buffer.from(
    hkdfSync(
      'sha256',
      secretParts,
      '',
      `gatelodge idempotency ${createHash('sha256').update(scope).digest('hex')}`,
      32,
    ),
  );
}
