import { z } from 'zod';
import { nameField, timestampField } from '../http/fields.ts';
import { includedUsageResource, planLimitsResource, planNameField } from '../plans/plan-schema.ts';

const plan = planNameField.describe(
  'One of the operator’s plans, or null for none: then nothing limits the account.',
);

const maxLeakDelaySeconds = 604_800;

const leakDelay = z
  .number()
  .int()
  .min(0)
  .max(maxLeakDelaySeconds)
  .describe(
    'For how long a secret key lives on after somebody has reported that it leaked: 0, which revokes it at once, to 604800, which is a week.',
  );

/** Body of `POST /v1/accounts`. */
export const createAccountBody = z
  .strictObject({
    name: nameField,
    owner_email: z
      .email()
      .max(254)
      .describe('Who owns the account; may sign in to it once there is a dashboard.'),
    plan: plan.nullable().default('default'),
  })
  .meta({
    id: 'CreateAccountRequest',
    examples: [{ name: 'Globex Corporation', owner_email: 'owner@globex.example' }],
  });

/** Body of `PATCH /v1/accounts/{account_id}`, the operator's. */
export const patchAccountBody = z
  .strictObject({ name: nameField.optional(), plan: plan.nullish() })
  .meta({ id: 'PatchAccountRequest', examples: [{ plan: 'default' }] });

/** Body of `PATCH /v1/account`, the caller's own. */
export const patchOwnAccountBody = z
  .strictObject({ name: nameField.optional(), leak_revocation_delay_seconds: leakDelay.optional() })
  .meta({ id: 'PatchOwnAccountRequest', examples: [{ name: 'Globex' }] });

export const accountParams = z.object({ account_id: z.string() });

const accountShape = {
  id: z.string(),
  name: z.string(),
  plan: z.string().nullable(),
  status: z.enum(['active', 'suspended', 'deleting']),
  operator: z.boolean(),
  deletion: z
    .object({ requested_at: timestampField, total: z.number().int(), deleted: z.number().int() })
    .nullable()
    .describe(
      'How far the deletion has come, in rows: API keys, organizations, events and all else that there can be many of. The total grows where there are over 500,000 of a kind.',
    ),
  created_at: timestampField,
  updated_at: timestampField,
};

/** An account as the operator sees it. */
export const accountResource = z.object(accountShape).meta({ id: 'Account' });

/** An account as its own keys see it. */
export const ownAccountResource = z
  .object({
    ...accountShape,
    limits: planLimitsResource.describe(
      'What the plan allows all keys of the account together; the ETag does not tell of it.',
    ),
    included: includedUsageResource,
    used_this_month: z
      .object({ live: z.int().min(0), sandbox: z.int().min(0) })
      .describe('The cost of the valid decisions since the month began (UTC); the ETag does not tell of it.'),
    leak_revocation_delay_seconds: leakDelay,
    customer_id: z.string().describe('The account’s id, under the name that bills and support use.'),
    members: z.array(z.object({ email: z.string(), role: z.enum(['owner', 'admin', 'viewer']) })),
  })
  .meta({ id: 'OwnAccount' });

/** The answer of a creation: the only one that ever shows the first key's secret. */
export const createdAccountResource = z
  .object({ ...accountShape, api_key: z.object({ id: z.string(), secret_plain: z.string() }) })
  .meta({ id: 'CreatedAccount' });
