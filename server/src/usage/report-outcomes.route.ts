import { z } from 'zod';
import { instantField, text } from '../http/fields.ts';
import { defineRoute } from '../http/route.ts';
import { addOutcomes, findIssuersOf, findReportableKeys } from './outcome-store.ts';
import { reportableDays, sumOutcomes } from './outcomes.ts';

const maxOutcomes = 1_000;
const maxCount = 1_000_000;
const maxLatencyMs = 3_600_000;

const outcomeField = z.strictObject({
  key_id: text(1, 100).describe('`key.id` of the verification.'),
  organization_id: text(1, 100)
    .optional()
    .describe(
      '`organization.id` of the verification; only for a key of an issuer, which may act for any of its organizations.',
    ),
  status: z.int().min(100).max(599).describe('HTTP status of your answer; 500 and above is an error.'),
  latency_ms: z.number().min(0).max(maxLatencyMs).optional().describe('How long your API took for it.'),
  count: z
    .int()
    .min(1)
    .max(maxCount)
    .default(1)
    .describe('How many requests ended alike; `latency_ms` is then their average.'),
  at: instantField.optional().describe(`When it was, at most ${reportableDays} days ago. Now unless given.`),
});

export const reportOutcomes = defineRoute({
  method: 'POST',
  path: '/v1/usage/outcomes',
  operationId: 'usage.reportOutcomes',
  summary: 'Tell how requests ended that were let through',
  description:
    'For error rates and latencies in usage: middleware collects status and latency of what the API answered and sends them in batches, with an Idempotency-Key, so that a batch that is sent again counts once. A key reports about the keys that it may verify.',
  permission: 'keys:verify',
  level: 'any',
  creates: true,
  body: z.strictObject({ outcomes: z.array(outcomeField).min(1).max(maxOutcomes) }).meta({
    id: 'ReportOutcomesRequest',
    examples: [
      {
        outcomes: [
          { key_id: 'key_EXAMPLEexampleEXAMPLEexam', status: 200, latency_ms: 12.5 },
          { key_id: 'key_EXAMPLEexampleEXAMPLEexam', status: 503, count: 3 },
        ],
      },
    ],
  }),
  responses: {
    200: {
      description: 'What was taken.',
      isReport: true,
      schema: z.object({
        data: z.object({
          accepted: z.int(),
          ignored: z
            .array(z.int())
            .describe(
              'The indexes of those that were not: of a key or an organization that is none of the caller’s, or of a moment too long ago or to come.',
            ),
        }),
      }),
    },
  },
  async handler({ tx, principal, body, now }) {
    const { outcomes } = body;
    const keys = await findReportableKeys(tx, principal, [...new Set(outcomes.map(({ key_id }) => key_id))]);
    const organizations = outcomes.flatMap(({ organization_id: id }) => (id === undefined ? [] : [id]));
    const issuers = await findIssuersOf(tx, principal.accountId, [...new Set(organizations)]);
    const { sums, ignored } = sumOutcomes(outcomes, keys, issuers, now);
    await addOutcomes(tx, sums);
    return { body: { data: { accepted: outcomes.length - ignored.length, ignored } } };
  },
});
