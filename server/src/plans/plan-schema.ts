import { z } from 'zod';
import { text, timestampField } from '../http/fields.ts';
import { limitsField, maxAmount } from '../limits/limit-schema.ts';
import { planNamePattern } from './plan.ts';

/** The name of a plan, wherever one is named in a body. */
export const planNameField = z
  .string()
  .regex(planNamePattern, 'must be 1 to 64 letters, digits or . _ - and begin with a letter or digit');

const description = text(1, 1000);
const includedField = z
  .int()
  .min(0)
  .max(maxAmount)
  .nullable()
  .describe(
    'What a month’s decisions may cost before it is overage, 1 each unless they say otherwise; null for all there are.',
  );

/** What each environment is allowed; what is left out has no limits. */
const limits = z.strictObject({ live: limitsField.default([]), sandbox: limitsField.default([]) });
const included = z.strictObject({ live: includedField.default(null), sandbox: includedField.default(null) });

const noLimits = { live: [], sandbox: [] };
const allIncluded = { live: null, sandbox: null };

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const planMembers = z.strictObject({
  description: description.nullable().default(null),
  limits: limits.default(noLimits),
  included: included.default(allIncluded),
});

/** Body of `POST /v1/plans`. */
export const createPlanBody = z
  .strictObject({
    name: planNameField.describe(
      'Unique in the account, and for good: what is on a plan knows it by its name.',
    ),
    description: description.nullish(),
    limits: limits.nullish(),
    included: included.nullish(),
  })
  .meta({
    id: 'CreatePlanRequest',
    examples: [
      {
        name: 'gold',
        description: 'For tenants with a contract',
        limits: {
          live: [
            { name: 'hour', limit: 5000, window: 'hour' },
            { name: 'day', limit: 50_000, window: 'day' },
          ],
          sandbox: [{ name: 'hour', limit: 100, window: 'hour' }],
        },
        included: { live: 1_000_000 },
      },
    ],
  });

/** Body of `PATCH /v1/plans/{plan_name}`: a list of limits replaces the one before. */
export const patchPlanBody = z
  .strictObject({
    description: description.nullish(),
    limits: z.strictObject({ live: limitsField.nullish(), sandbox: limitsField.nullish() }).nullish(),
    included: z.strictObject({ live: includedField.optional(), sandbox: includedField.optional() }).nullish(),
  })
  .meta({
    id: 'PatchPlanRequest',
    examples: [{ limits: { live: [{ name: 'hour', limit: 8000, window: 'hour' }] } }],
  });

export const planParams = z.object({ plan_name: z.string() });

/** What a plan allows, as it is answered. */
export const planLimitsResource = z
  .object({ live: limitsField, sandbox: limitsField })
  .meta({ id: 'PlanLimits' });

/** What is paid with a plan, as it is answered. */
export const includedUsageResource = z
  .object({ live: includedField, sandbox: includedField })
  .meta({ id: 'IncludedUsage' });

export const planResource = z
  .object({
    name: z.string(),
    description: z.string().nullable(),
    limits: planLimitsResource,
    included: includedUsageResource,
    created_at: timestampField,
    updated_at: timestampField,
  })
  .meta({ id: 'Plan' });
