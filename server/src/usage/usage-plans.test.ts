import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import type { Principal } from '../authentication/principal.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Schema } from '../postgres/schema.ts';
import { type Interval, usageRange } from './usage-range.ts';
import { type UsageFilter, usageSource } from './usage-source.ts';
import { type BucketPosition, readUsage } from './usage-store.ts';

/*
 * How much a page of usage reads, at its beginning and in the depth, as Postgres itself tells it. By blocks and not by
 * time, which says nothing on a busy machine.
 */

const keys = scaled(800, 20_000);
const days = 45;
const issuers = 20;
const organizations = 400;
const page = 51;
const now = new Date('2026-11-21T12:00:00.000Z');
const accountId = newId(idPrefixes.account);

const database = await createTestDatabase();
const rows = await Rows.open(database);
const pool = new pg.Pool({ connectionString: database.appUrl, max: 1 });
const statements: { sql: string; parameters: readonly unknown[] }[] = [];
const db = new Kysely<Schema>({
  dialect: new PostgresDialect({ pool }),
  log: (event) => {
    statements.push(event.query);
  },
});
afterAll(async () => {
  await db.destroy();
  await rows.close();
  await database.drop();
});

/** Each key in an organization, each day, two outcomes; the levels above add them up. */
beforeAll(async () => {
  await rows.query(
    `insert into usage_buckets (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id,
       code, count, cost)
     select $1, level, subject, 'day', $2::timestamptz - make_interval(days => day), 'live', issuer, organization, code,
       sum(1), sum(1)
     from generate_series(1, $3::int) as key
     cross join lateral (select 'i_' || lpad((key % $4::int)::text, 25, '0') as i,
       'org_' || lpad((key % $5::int)::text, 25, '0') as o) as place
     cross join lateral (values ('account', $1, '', ''), ('issuer', i, '', ''), ('organization', o, i, ''),
       ('key', 'key_' || lpad(key::text, 25, '0'), i, o)) as at (level, subject, issuer, organization)
     cross join generate_series(0, $6::int - 1) as day cross join (values ('VALID'), ('RATE_LIMITED')) as c (code)
     group by level, subject, day, issuer, organization, code`,
    [accountId, '2026-11-21T00:00:00Z', keys, issuers, organizations, days],
  );
  await rows.query('vacuum analyze usage_buckets');
  await pool.query(
    `set role gatelodge_app; set search_path = gatelodge; set gatelodge.account_id = '${accountId}'`,
  );
});

const idOf = (prefix: string, number: number) => prefix + String(number).padStart(25, '0');
const principalOf = (members: Partial<Principal> = {}): Principal => ({
  ...{
    keyId: newId(idPrefixes.apiKey),
    lineageId: newId(idPrefixes.apiKey),
    accountId,
    issuerId: null,
    organizationId: null,
    environment: 'live',
  },
  ...{ permissions: 'all', isOperator: false, supportGrantId: null, presentedSecret: '' },
  bounds: { expiresAt: null, ips: [] },
  ...members,
});

/** How many blocks the statements of a page touch, and what it holds. */
async function pageOf(
  filter: UsageFilter & { interval?: Interval },
  after: BucketPosition | null = null,
  principal = principalOf(),
) {
  const { interval = 'day', ...asked } = filter;
  const range = usageRange({ interval }, now);
  statements.length = 0;
  const source = usageSource(principal, asked);
  const buckets = await readUsage(db as unknown as Transaction, source, range, after, page);
  let blocks = 0;
  for (const { sql, parameters } of [...statements]) {
    const { rows: plans } = await pool.query<{ 'QUERY PLAN': { Plan: Record<string, number> }[] }>(
      `explain (analyze, buffers, format json) ${sql}`,
      [...parameters],
    );
    const { Plan: plan } = plans[0]!['QUERY PLAN'][0]!;
    blocks += plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
  }
  return { buckets, blocks };
}

describe('a page reads little, however much there is', () => {
  test.each<[string, UsageFilter & { interval?: Interval }, Partial<Principal>, number]>([
    ['30 days by day of the account', {}, {}, 31],
    ['12 months of the account', { interval: 'month' }, {}, 2],
    ['by code', { group_by: 'code' }, {}, page],
    ['by issuer', { group_by: 'issuer' }, {}, page],
    ['by organization', { group_by: 'organization' }, {}, page],
    ['by key', { group_by: 'key' }, {}, page],
    ['by key and month', { group_by: 'key', interval: 'month' }, {}, page],
    ['by organization and month', { group_by: 'organization', interval: 'month' }, {}, page],
    ['one key', { key_id: idOf('key_', 77) }, {}, 31],
    ['one issuer by key', { group_by: 'key', issuer_id: idOf('i_', 7) }, {}, page],
    [
      'one issuer by key and month',
      { group_by: 'key', issuer_id: idOf('i_', 7), interval: 'month' },
      {},
      page,
    ],
    ['one organization by key', { group_by: 'key', organization_id: idOf('org_', 77) }, {}, page],
    ['an issuer’s key by organization', { group_by: 'organization' }, { issuerId: idOf('i_', 7) }, page],
  ])('%s', async (_name, filter, members, expected) => {
    const principal = principalOf(members);
    const first = await pageOf(filter, null, principal);
    expect(first.buckets).toHaveLength(expected);
    // Three or four levels of an index and the row itself, for each of two outcomes of up to 51 groups in 31 days.
    const isMonths = filter.interval === 'month' && filter.group_by !== undefined;
    expect(first.blocks).toBeLessThan(isMonths ? 51 * 31 * 2 * 5 : 51 * 2 * 11);
    // In the middle of another day, or of the month before.
    const { group } = first.buckets.at(-1)!;
    const depth =
      filter.interval === 'month' ? new Date('2026-10-01T00:00:00Z') : new Date('2026-11-01T00:00:00Z');
    const later = await pageOf(filter, { start: depth, group }, principal);
    expect(later.blocks).toBeLessThan(Math.max(100, first.blocks * 2));
    expect(later.buckets.every((bucket) => bucket.start <= depth)).toBe(true);
  });
});
