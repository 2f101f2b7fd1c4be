import { sql } from 'kysely';
import { z } from 'zod';
import { isLeftBehind } from '../api-keys/left-behind.ts';
import { defineRoute } from '../http/route.ts';
import type { Transaction } from '../postgres/database.ts';
import { csvHeader, csvLines, type GroupName, hasNames } from './usage-csv.ts';
import { filterQuery, rangeQuery } from './usage-query.ts';
import { usageRange } from './usage-range.ts';
import { type Grouping, usageSource } from './usage-source.ts';
import { type BucketPosition, type CountedBucket, readUsage } from './usage-store.ts';

const bucketsAtOnce = 500;

export const exportUsage = defineRoute({
  method: 'GET',
  path: '/v1/usage/export.csv',
  operationId: 'usage.export',
  summary: 'Read usage as CSV',
  description:
    'All buckets that `usage.list` would tell, in its order, one line each, with a column for each code. It is sent as it is read, however long it is; one that breaks off ends in the middle of a chunk. Text that a spreadsheet would take for a formula has an apostrophe before it.',
  permission: 'gatelodge.usage:read',
  level: 'any',
  readsMetering: true,
  query: z.strictObject({ ...rangeQuery, ...filterQuery }),
  responses: {
    200: {
      description: 'A line of names and a line for each bucket (RFC 4180).',
      contentType: 'text/csv',
      headers: ['Content-Disposition'],
    },
  },
  async handler({ tx, principal, query, now, later }) {
    const range = usageRange(query, now);
    const source = usageSource(principal, query);
    const pageAfter = async (reading: Transaction, position: BucketPosition | null) => {
      const buckets = await readUsage(reading, source, range, position, bucketsAtOnce);
      const names = await namesOf(reading, source.accountId, query.group_by, buckets);
      const last = buckets.length < bucketsAtOnce ? undefined : buckets.at(-1);
      return { text: csvLines(buckets, query.group_by, names), last };
    };
    // What goes wrong with the first page is still answered as an error.
    const first = await pageAfter(tx, null);
    async function* parts() {
      yield csvHeader(query.group_by) + first.text;
      for (let { last } = first; last !== undefined; ) {
        const position: BucketPosition = last;
        const page = await later((reading) => pageAfter(reading, position));
        if (page.text !== '') yield page.text;
        last = page.last;
      }
    }
    return {
      parts: parts(),
      headers: { 'Content-Disposition': `attachment; filename="${fileName(range)}"` },
    };
  },
});

function fileName({ from, to }: { from: Date; to: Date }): string {
  const day = (moment: Date) => moment.toISOString().replace(/T.*/, '');
  return `usage-${day(from)}-${day(new Date(to.getTime() - 1))}.csv`;
}

/** What these groups are called, as far as they are still there. */
async function namesOf(
  tx: Transaction,
  accountId: string,
  grouping: Grouping | undefined,
  buckets: readonly CountedBucket[],
): Promise<ReadonlyMap<string, GroupName>> {
  if (!hasNames(grouping) || buckets.length === 0) return new Map();
  const ids = [...new Set(buckets.map(({ group }) => group))];
  const { table, externalId, isThere } = namedIn[grouping];
  const { rows } = await sql<GroupName & { id: string }>`
    select id, name, ${externalId} as external_id from ${sql.table(table)}
    where account_id = ${accountId} and id = any(${ids}::text[]) and ${isThere}`.execute(tx);
  return new Map(rows.map(({ id, ...names }) => [id, names]));
}

const namedIn = {
  key: { table: 'api_keys', externalId: sql`null`, isThere: sql`not ${isLeftBehind('api_keys')}` },
  issuer: { table: 'issuers', externalId: sql`null`, isThere: sql`true` },
  organization: { table: 'organizations', externalId: sql.ref('external_id'), isThere: sql`true` },
} as const;
