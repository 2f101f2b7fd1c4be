import { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import { environmentField, idField, instantField } from '../http/fields.ts';
import type { CursorCodec, Page } from '../http/pagination.ts';
import { idPrefixes } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import { toUsageBucket, type UsageBucket } from './usage-bucket.ts';
import { intervals, type RangeQuery, type UsageRange, usageRange } from './usage-range.ts';
import { groupings, type UsageFilter, usageSource } from './usage-source.ts';
import { type BucketPosition, readUsage } from './usage-store.ts';

/** When usage is asked for. */
export const rangeQuery = {
  interval: z
    .enum(intervals)
    .default('day')
    .describe('How long a bucket is. There are buckets of an hour for the last 90 days, of a day for good.'),
  from: instantField
    .optional()
    .describe(
      'Where the first bucket lies, which is answered whole. Unless given, 24 hours (with `interval=hour`), 30 days or 12 months before `to`.',
    ),
  to: instantField.optional().describe('Buckets that begin before this. Now unless given.'),
};

/** What usage is asked for. */
export const filterQuery = {
  group_by: z.enum(groupings).optional().describe('Makes a bucket for each. Totals unless given.'),
  issuer_id: idField(idPrefixes.issuer, 'an issuer').optional(),
  organization_id: idField(idPrefixes.organization, 'an organization')
    .optional()
    .describe('What was decided for this organization, by whichever key.'),
  key_id: idField(idPrefixes.apiKey, 'a key').optional(),
  environment: environmentField.optional(),
};

interface PageQuery extends RangeQuery, UsageFilter {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A page of buckets, for a caller who sees what lies at or below its own level. */
export async function usagePage(
  { tx, principal, cursors, now }: { tx: Transaction; principal: Principal; cursors: CursorCodec; now: Date },
  query: PageQuery,
): Promise<Page<UsageBucket>> {
  const continued = query.cursor === undefined ? null : positionIn(cursors.decode(query.cursor));
  // A list goes on in the range that it began with, although meanwhile it has become later.
  const range =
    continued === null ? usageRange(query, now) : { ...usageRange(query, now), ...continued.range };
  const source = usageSource(principal, query);
  const rows = await readUsage(tx, source, range, continued?.position ?? null, query.limit + 1);
  const shown = rows.slice(0, query.limit);
  const last = rows.length > query.limit ? shown.at(-1) : undefined;
  return {
    data: shown.map((row) => toUsageBucket(row, query.group_by)),
    has_more: last !== undefined,
    next_cursor: last === undefined ? null : cursors.encode(cursorOf(range, last)),
  };
}

function cursorOf({ from, to }: UsageRange, { start, group }: BucketPosition): string[] {
  return [...[from, to, start].map((moment) => moment.toISOString()), group];
}

function positionIn([from, to, start, group = '']: string[]): {
  range: Pick<UsageRange, 'from' | 'to'>;
  position: BucketPosition;
} {
  const moment = (text = '') => new Date(text);
  return {
    range: { from: moment(from), to: moment(to) },
    position: { start: moment(start), group },
  };
}
