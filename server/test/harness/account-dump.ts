import type { Rows } from './rows.ts';

/** Where the rows of one account, or of one issuer in it, stand. */
export type DumpScope = { accountId: string } | { issuerId: string };

/** What metering writes goes on changing for a while after the requests that it tells of, also of a test's preparation. */
const metered = ['usage_buckets', 'key_uses', 'metered_events', 'limit_windows'];

/** What changes by the clock alone: that a notice is tried again, and that a record of the minute a code lasts is swept. */
const byTheClock: Record<string, { row: string; where: string }> = {
  logout_notices: { row: "(to_jsonb(t) - 'due_at' - 'attempts')", where: 'true' },
  oidc_records: { row: 't', where: "expires_at > created_at + interval '30 minutes'" },
};

/**
 * Everything that the tables hold of an account or an issuer, as text, but for what metering writes and what the clock
 * alone changes: equal before and after, nothing of it has changed. The tables are read from the catalog, so one that is added later is in it.
 */
export async function dumpOf(rows: Rows, scope: DumpScope): Promise<Record<string, string[]>> {
  const [column, value] = columnOf(scope);
  const root = 'accountId' in scope ? 'accounts' : 'issuers';
  const tables = await rows.query<{ name: string }>(
    `select table_name as name from information_schema.columns
      where table_schema = 'gatelodge' and column_name = $1 and table_name <> all ($2) order by 1`,
    [column, metered],
  );
  const dump: Record<string, string[]> = {
    [root]: await textsOf(rows, `select t::text as row from ${root} t where id = $1 order by 1`, value),
  };
  for (const { name } of tables) {
    const { row, where } = byTheClock[name] ?? { row: 't', where: 'true' };
    dump[name] = await textsOf(
      rows,
      `select ${row}::text as row from ${name} t where ${column} = $1 and ${where} order by 1`,
      value,
    );
  }
  return dump;
}

/** The ids of everything that the tables hold of an account or an issuer. */
export async function idsIn(rows: Rows, scope: DumpScope): Promise<string[]> {
  const [column, value] = columnOf(scope);
  const tables = await rows.query<{ name: string }>(
    `select table_name as name from information_schema.columns
      where table_schema = 'gatelodge' and column_name = 'id' and data_type = 'text'
        and table_name in (select table_name from information_schema.columns where column_name = $1)`,
    [column],
  );
  const ids = [value];
  for (const { name } of tables) {
    const found = await rows.query<{ id: string }>(`select id from ${name} where ${column} = $1`, [value]);
    ids.push(...found.map(({ id }) => id));
  }
  return ids;
}

function columnOf(scope: DumpScope): ['account_id' | 'issuer_id', string] {
  return 'accountId' in scope ? ['account_id', scope.accountId] : ['issuer_id', scope.issuerId];
}

async function textsOf(rows: Rows, sql: string, value: string): Promise<string[]> {
  return (await rows.query<{ row: string }>(sql, [value])).map(({ row }) => row);
}
