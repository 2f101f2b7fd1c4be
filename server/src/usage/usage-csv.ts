import { outcomes } from '../ledger/outcome.ts';
import { type Cell, csvLine } from './csv.ts';
import { toUsageBucket } from './usage-bucket.ts';
import { type Grouping, memberOf } from './usage-source.ts';
import type { CountedBucket } from './usage-store.ts';

/** What people call the key, issuer or organization of a bucket; null for one that is gone. */
export interface GroupName {
  readonly name: string | null;
  readonly external_id: string | null;
}

const nameless: GroupName = { name: null, external_id: null };

/** A column for each way in which a decision can be refused. */
const refusedCodes = outcomes.filter((code) => code !== 'VALID');

/** The first line of an export: the names of its columns. */
export function csvHeader(grouping: Grouping | undefined): string {
  return csvLine([
    'start',
    ...groupColumns(grouping),
    'total',
    'valid',
    'refused',
    'errors',
    'error_rate',
    'cost',
    'management',
    'reported',
    'latency_ms',
    ...refusedCodes,
  ]);
}

/** The lines of these buckets. */
export function csvLines(
  buckets: readonly CountedBucket[],
  grouping: Grouping | undefined,
  names: ReadonlyMap<string, GroupName>,
): string {
  return buckets
    .map((counted) => {
      const bucket = toUsageBucket(counted, grouping);
      return csvLine([
        bucket.start,
        ...groupCells(counted.group, grouping, names),
        bucket.total,
        bucket.valid,
        bucket.refused,
        bucket.errors,
        bucket.error_rate,
        bucket.cost,
        bucket.management,
        bucket.reported,
        bucket.latency_ms,
        ...refusedCodes.map((code) => bucket.by_code[code] ?? 0),
      ]);
    })
    .join('');
}

function groupColumns(grouping: Grouping | undefined): string[] {
  if (grouping === undefined) return [];
  const member = memberOf[grouping];
  if (!hasNames(grouping)) return [member];
  const named = [member, `${grouping}_name`];
  return grouping === 'organization' ? [...named, 'organization_external_id'] : named;
}

function groupCells(
  group: string,
  grouping: Grouping | undefined,
  names: ReadonlyMap<string, GroupName>,
): Cell[] {
  if (grouping === undefined) return [];
  if (!hasNames(grouping)) return [group];
  const { name, external_id } = names.get(group) ?? nameless;
  return grouping === 'organization' ? [group, name, external_id] : [group, name];
}

/** Whether its groups are things that people have given names. */
export function hasNames(
  grouping: Grouping | undefined,
): grouping is Exclude<Grouping, 'environment' | 'code'> {
  return grouping !== undefined && grouping !== 'environment' && grouping !== 'code';
}
