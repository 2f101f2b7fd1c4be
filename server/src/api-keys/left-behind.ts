import { type RawBuilder, sql } from 'kysely';

/**
 * That a key stands in an organization that is not there any more. To everybody it is gone; a job takes the rows away
 * (`createOrganizationSweep`). For queries that come to keys by another way than their place (`requirePlace`), which finds no
 * such organization.
 *
 * @param keys the name that the query has for `api_keys`
 */
export function isLeftBehind(keys: string): RawBuilder<boolean> {
  const organizationId = sql.ref(`${keys}.organization_id`);
  return sql<boolean>`(${organizationId} is not null
    and not exists (select from organizations where organizations.id = ${organizationId}))`;
}
