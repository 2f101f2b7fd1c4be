import { z } from 'zod';
import { environmentField, timestampField } from '../http/fields.ts';
import { type Grouping, memberOf } from './usage-source.ts';
import type { CountedBucket, UsageCount } from './usage-store.ts';

const counted = z.int().min(0);

/** A bucket of usage as it is answered. */
export const usageBucketResource = z
  .object({
    start: timestampField.describe('The beginning of its hour, day or month, in UTC.'),
    key_id: z.string().optional().describe('With `group_by=key`.'),
    organization_id: z
      .string()
      .optional()
      .describe('With `group_by=organization`. What concerned no organization is in none of these buckets.'),
    issuer_id: z
      .string()
      .optional()
      .describe('With `group_by=issuer`. What concerned no issuer is in none of these buckets.'),
    environment: environmentField.optional().describe('With `group_by=environment`.'),
    code: z.string().optional().describe('With `group_by=code`.'),
    total: counted.describe('Decisions: `valid` and `refused` together.'),
    valid: counted,
    refused: counted,
    errors: counted.describe(
      'Of the valid ones, those of which your API has told that they ended in an error.',
    ),
    error_rate: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('`refused` and `errors` as a part of `total`; null where that is 0.'),
    by_code: z.record(z.string(), counted).describe('Decisions by the code that a verification answers.'),
    cost: counted.describe('What the valid ones cost together.'),
    management: counted.describe('Calls of the management API, which are no part of `total`.'),
    reported: counted.describe('Requests of which your API has told the outcome.'),
    latency_ms: z
      .number()
      .min(0)
      .nullable()
      .describe('Their average latency in your API; null where none was told.'),
  })
  .meta({ id: 'UsageBucket' });

export type UsageBucket = z.input<typeof usageBucketResource>;

/** Adds up what is in a bucket. */
export function toUsageBucket(bucket: CountedBucket, grouping: Grouping | undefined): UsageBucket {
  const traffic = bucket.counts.filter(({ is_management }) => !is_management);
  const passed = traffic.filter(({ code }) => code === 'VALID');
  const total = sumOf(traffic, 'count');
  const valid = sumOf(passed, 'count');
  const errors = sumOf(passed, 'errors');
  const timed = sumOf(passed, 'timed');
  return {
    start: bucket.start.toISOString(),
    ...(grouping && { [memberOf[grouping]]: bucket.group }),
    total,
    valid,
    refused: total - valid,
    errors,
    // What is told late is counted where it happened, and what is told wrongly can be more than there was.
    error_rate: total === 0 ? null : Math.min(1, (total - valid + errors) / total),
    by_code: Object.fromEntries(
      traffic.filter(({ count }) => count > 0).map(({ code, count }) => [code, count]),
    ),
    cost: sumOf(passed, 'cost'),
    management: sumOf(
      bucket.counts.filter(({ is_management }) => is_management),
      'count',
    ),
    reported: sumOf(passed, 'reported'),
    latency_ms: timed === 0 ? null : sumOf(passed, 'latency_ms') / timed,
  };
}

function sumOf(counts: readonly UsageCount[], member: Exclude<keyof UsageCount, 'code' | 'is_management'>) {
  return counts.reduce((sum, count) => Math.min(sum + count[member], Number.MAX_SAFE_INTEGER), 0);
}
