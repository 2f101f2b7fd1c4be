import { type RawBuilder, sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import { endOfBucket, startOf, type UsageRange } from './usage-range.ts';
import type { UsageSource } from './usage-source.ts';

/** Where a bucket stands in the list: by its moment and its group, both descending. */
export interface BucketPosition {
  readonly start: Date;
  /** '' where there are no groups. */
  readonly group: string;
}

/** How many decisions of one bucket came out in one way. */
export interface UsageCount {
  readonly code: string;
  readonly is_management: boolean;
  readonly count: number;
  readonly cost: number;
  readonly reported: number;
  readonly errors: number;
  readonly timed: number;
  readonly latency_ms: number;
}

export interface CountedBucket extends BucketPosition {
  readonly counts: readonly UsageCount[];
}

/**
 * The next buckets of a list, the newest first, within a bucket of time by their group, descending; empty ones are left
 * out. First it is found which there are, then what is in them is added up: so a page costs the same at any depth.
 *
 * @param after where the page before ended; null for the first
 */
export async function readUsage(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  after: BucketPosition | null,
  limit: number,
): Promise<CountedBucket[]> {
  const buckets =
    range.interval === 'month' && source.isOfMany
      ? await monthsOfMany(tx, source, range, after, limit)
      : await bucketsIn(tx, source, range, after, limit);
  return buckets.length === 0 ? [] : countsOf(tx, source, range, buckets);
}

async function bucketsIn(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  after: BucketPosition | null,
  limit: number,
): Promise<BucketPosition[]> {
  const start =
    range.interval === 'month' ? sql<Date>`date_trunc('month', u.start_at, 'UTC')` : sql<Date>`u.start_at`;
  const group = groupOf(source);
  const { rows } = await sql<{ start: Date; group: string }>`
    select distinct ${start} as "start", ${group} as "group" from usage_buckets u
    where ${rowsOf(source, range)} and u.start_at >= ${range.from} and u.start_at < ${endOf(range, after)}
      ${after === null ? sql`` : sql`and (${start}, ${group}) < (${after.start}, ${after.group})`}
    order by 1 desc, 2 desc limit ${limit}`.execute(tx);
  return rows;
}

/**
 * Months are sums of days, and in each of a month's days there may be a hundred thousand subjects. The next ones of the
 * month are among the next ones of each of its days, and those stand in the index in their order.
 */
async function monthsOfMany(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  after: BucketPosition | null,
  limit: number,
): Promise<BucketPosition[]> {
  const found: BucketPosition[] = [];
  let month = after?.start ?? (await monthBefore(tx, source, range, endOf(range, null)));
  let below = after?.group ?? null;
  while (month !== null && found.length < limit) {
    found.push(...(await subjectsOfMonth(tx, source, range, month, below, limit - found.length)));
    if (found.length < limit) month = await monthBefore(tx, source, range, month);
    below = null;
  }
  return found;
}

/** The last month with anything in it before that moment; null where there is none in the range. */
async function monthBefore(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  moment: Date,
): Promise<Date | null> {
  const { rows } = await sql<{ start_at: Date }>`
    select u.start_at from usage_buckets u
    where ${rowsOf(source, range)} and u.start_at >= ${range.from} and u.start_at < ${moment}
    order by u.start_at desc limit 1`.execute(tx);
  return rows[0] === undefined ? null : startOf('month', rows[0].start_at);
}

async function subjectsOfMonth(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  month: Date,
  below: string | null,
  limit: number,
): Promise<BucketPosition[]> {
  const days: Date[] = [];
  for (let day = month; day < endOfBucket('month', month); day = endOfBucket('day', day)) days.push(day);
  const group = groupOf(source);
  const { rows } = await sql<{ group: string }>`
    select distinct of_day."group" from unnest(${days}::timestamptz[]) as day (start_at)
    cross join lateral (
      select distinct ${group} as "group" from usage_buckets u
      where ${rowsOf(source, range)} and u.start_at = day.start_at
        ${below === null ? sql`` : sql`and ${group} < ${below}`}
      order by 1 desc limit ${limit}
    ) as of_day
    order by 1 desc limit ${limit}`.execute(tx);
  return rows.map((row) => ({ start: month, group: row.group }));
}

async function countsOf(
  tx: Transaction,
  source: UsageSource,
  range: UsageRange,
  buckets: readonly BucketPosition[],
): Promise<CountedBucket[]> {
  const starts = buckets.map(({ start }) => start);
  const ends = starts.map((start) => endOfBucket(range.interval, start));
  const groups = buckets.map(({ group }) => group);
  const { rows } = await sql<UsageCount & { position: number }>`
    select b.position::int, c.* from unnest(${starts}::timestamptz[], ${ends}::timestamptz[], ${groups}::text[])
      with ordinality as b (start_at, end_at, "group", position)
    cross join lateral (
      select u.code, u.is_management, ${sumOf('count')}, ${sumOf('cost')}, ${sumOf('reported')}, ${sumOf('errors')},
        ${sumOf('timed')}, ${sumOf('latency_ms')}
      from usage_buckets u
      where ${rowsOf(source, range)} and u.start_at >= b.start_at and u.start_at < b.end_at
        and ${groupOf(source)} = b."group"
      group by u.code, u.is_management
    ) as c
    order by b.position, c.code`.execute(tx);
  const counts = new Map<number, UsageCount[]>();
  for (const { position, ...count } of rows) {
    const known = counts.get(position);
    if (known === undefined) counts.set(position, [count]);
    else known.push(count);
  }
  return buckets.map((bucket, index) => ({ ...bucket, counts: counts.get(index + 1) ?? [] }));
}

/** Which rows count, but for their time. What lies in nothing is in no group of it. */
function rowsOf(source: UsageSource, { interval }: UsageRange): RawBuilder<unknown> {
  const conditions = [
    sql`u.account_id = ${source.accountId}`,
    sql`u.level = ${source.level}`,
    sql`u.grain = ${interval === 'hour' ? 'hour' : 'day'}`,
    ...source.where.map(({ column, value }) => sql`${sql.ref(`u.${column}`)} = ${value}`),
  ];
  if (source.groupColumn !== null) conditions.push(sql`${groupOf(source)} <> ''`);
  if (source.ownKeysOf !== null)
    conditions.push(
      sql`exists (select from api_keys k where k.id = u.subject_id and k.organization_id = ${source.ownKeysOf})`,
    );
  return sql.join(conditions, sql` and `);
}

function groupOf({ groupColumn }: UsageSource): RawBuilder<string> {
  return groupColumn === null ? sql<string>`''::text` : sql.ref<string>(`u.${groupColumn}`);
}

/** Where to look no further: at the end of the range, or of the bucket in which the page before ended. */
function endOf(range: UsageRange, after: BucketPosition | null): Date {
  return after === null ? range.to : endOfBucket(range.interval, after.start);
}

/** Costs are the callers' own numbers: added up for long enough they are more than a number can hold. */
function sumOf(column: Exclude<keyof UsageCount, 'code' | 'is_management'>): RawBuilder<unknown> {
  return sql`least(sum(${sql.ref(`u.${column}`)}), ${Number.MAX_SAFE_INTEGER}::bigint)::bigint as ${sql.ref(column)}`;
}
