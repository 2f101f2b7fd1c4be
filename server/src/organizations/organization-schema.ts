import { z } from 'zod';
import {
  metadataField,
  metadataPatchField,
  nameField,
  shownNameField,
  timestampField,
} from '../http/fields.ts';
import { planNameField } from '../plans/plan-schema.ts';

/** The account's own name for a tenant: what `x-tn` may carry, so nothing a header value can't hold. */
const externalId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/,
    'must be 1 to 128 letters, digits or . _ : @ / - and begin with a letter or digit',
  )
  .refine((value) => !value.startsWith('org_'), 'must not begin with "org_", which is how our own ids begin')
  .describe('Your own name for the tenant, unique in the issuer.');

const plan = planNameField.describe('One of the account’s own plans, or null for no limits of its own.');

/** Body of `POST …/organizations`. */
export const createOrganizationBody = z
  .strictObject({
    // The hosted login shows it to whoever chooses an organization.
    name: shownNameField,
    external_id: externalId.nullish(),
    plan: plan.nullish(),
    metadata: metadataField.optional(),
  })
  .meta({
    id: 'CreateOrganizationRequest',
    examples: [{ name: 'Globex', external_id: 'tenant_globex', metadata: { tier: 'gold' } }],
  });

/**
 * What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this, and a name that changes by
 * `shownNameField`.
 */
export const organizationMembers = z.strictObject({
  name: nameField,
  external_id: externalId.nullable().default(null),
  // As it stands: a node of an older build lets anything be named. What a patch names has been checked.
  plan: z.string().nullable().default(null),
  metadata: metadataField.default({}),
});

/** Body of `PATCH …/organizations/{org_id}`; members of `metadata` merge, null removes. */
export const patchOrganizationBody = z
  .strictObject({
    name: nameField.optional(),
    external_id: externalId.nullish(),
    plan: plan.nullish(),
    metadata: metadataPatchField.nullish(),
  })
  .meta({
    id: 'PatchOrganizationRequest',
    examples: [{ name: 'Globex Corporation', metadata: { tier: 'platinum' } }],
  });

export const organizationResource = z
  .object({
    id: z.string(),
    issuer_id: z.string(),
    name: z.string(),
    external_id: z.string().nullable(),
    plan: z.string().nullable(),
    metadata: z.record(z.string(), z.json()),
    status: z.enum(['active', 'suspended']),
    created_at: timestampField,
    updated_at: timestampField,
  })
  .meta({ id: 'Organization' });

export const organizationsParams = z.object({ issuer_id: z.string() });
export const organizationParams = z.object({ issuer_id: z.string(), org_id: z.string() });
