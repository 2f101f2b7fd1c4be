import { sql } from 'kysely';
import { isLeftBehind } from '../api-keys/left-behind.ts';
import type { Principal } from '../authentication/principal.ts';
import type { Transaction } from '../postgres/database.ts';
import type { OutcomeSum, ReportableKey } from './outcomes.ts';

/** Those of the named keys that the caller may verify: at or below its own level, for a sandbox key the sandbox ones. */
export async function findReportableKeys(
  tx: Transaction,
  principal: Principal,
  ids: readonly string[],
): Promise<ReadonlyMap<string, ReportableKey>> {
  let query = tx
    .selectFrom('api_keys')
    .select(['id', 'issuer_id', 'organization_id', 'environment'])
    .where('account_id', '=', principal.accountId)
    .where('id', '=', sql<string>`any(${ids}::text[])`)
    .where((eb) => eb.not(isLeftBehind('api_keys')));
  if (principal.issuerId !== null) query = query.where('issuer_id', '=', principal.issuerId);
  if (principal.organizationId !== null)
    query = query.where('organization_id', '=', principal.organizationId);
  if (principal.environment === 'sandbox') query = query.where('environment', '=', 'sandbox');
  const rows = await query.execute();
  return new Map(rows.map((row) => [row.id, row]));
}

/** The issuers of these organizations, as far as the account has them. */
export async function findIssuersOf(
  tx: Transaction,
  accountId: string,
  organizationIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await tx
    .selectFrom('organizations')
    .select(['id', 'issuer_id'])
    .where('account_id', '=', accountId)
    .where('id', '=', sql<string>`any(${organizationIds}::text[])`)
    .execute();
  return new Map(rows.map(({ id, issuer_id }) => [id, issuer_id]));
}

/** Adds them to the buckets of their hour and day, at every level. */
export async function addOutcomes(tx: Transaction, sums: readonly OutcomeSum[]): Promise<void> {
  if (sums.length === 0) return;
  const column = <T>(of: (sum: OutcomeSum) => T) => sums.map(of);
  await sql`
    select report_outcomes(
      ${column(({ key }) => key.id)}::text[], ${column(({ key }) => key.issuer_id)}::text[],
      ${column(({ organizationId }) => organizationId)}::text[], ${column(({ key }) => key.environment)}::text[],
      ${column(({ hour }) => hour)}::timestamptz[], ${column(({ reported }) => reported)}::bigint[],
      ${column(({ errors }) => errors)}::bigint[], ${column(({ timed }) => timed)}::bigint[],
      ${column(({ latencyMs }) => Math.round(latencyMs))}::bigint[])`.execute(tx);
}
