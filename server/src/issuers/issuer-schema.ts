import { z } from 'zod';
import { environmentField, nameField, shownNameField, timestampField } from '../http/fields.ts';
import { planNameField } from '../plans/plan-schema.ts';
import { isReservedScope, parseScope } from '../scopes/scope.ts';

const publishableScopes = z
  .array(z.string())
  .max(100)
  .superRefine((scopes, context) => {
    scopes.forEach((scope, index) => {
      const parsed = parseScope(scope);
      if (!parsed.ok) context.addIssue({ code: 'custom', path: [index], message: parsed.message });
      else if (isReservedScope(scope)) {
        context.addIssue({
          code: 'custom',
          path: [index],
          message: 'a permission of Gatelodge is never safe in a browser; remove it',
        });
      }
    });
  })
  .describe('The product scopes that are safe in a browser; only these may a publishable key hold.');

const plan = planNameField
  .nullable()
  .describe(
    'One of the account’s own plans, or null for no limits of its own. A key of the account sets it.',
  );

/** Body of `POST /v1/issuers`. */
export const createIssuerBody = z
  .strictObject({
    // The hosted login and mails show it where no brand name is set.
    name: shownNameField,
    environment: environmentField.optional().describe('live unless the caller’s key is a sandbox key.'),
    publishable_scopes: publishableScopes.optional(),
    plan: plan.optional(),
  })
  .meta({
    id: 'CreateIssuerRequest',
    examples: [{ name: 'Invoices API', publishable_scopes: ['catalog:read'] }],
  });

/**
 * What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this, and a name that changes by
 * `shownNameField`.
 */
export const issuerMembers = z.strictObject({
  name: nameField,
  publishable_scopes: publishableScopes,
  // As it stands: a node of an older build lets anything be named. What a patch names has been checked.
  plan: z.string().nullable().default(null),
});

/** Body of `PATCH /v1/issuers/{issuer_id}`, for its contract. */
export const patchIssuerBody = z
  .strictObject({
    name: nameField.optional(),
    publishable_scopes: publishableScopes.optional(),
    plan: plan.optional(),
  })
  .meta({ id: 'PatchIssuerRequest', examples: [{ name: 'Invoices and payments API' }] });

/** An issuer as it is answered. */
export const issuerResource = z
  .object({
    id: z.string(),
    account_id: z.string(),
    name: z.string(),
    environment: environmentField,
    status: z.enum(['active', 'suspended']),
    publishable_scopes: z.array(z.string()),
    plan: z.string().nullable(),
    sandbox_issuer_id: z.string().nullable().describe('The sandbox twin of a live issuer, once it exists.'),
    sandbox_of: z.string().nullable().describe('The live issuer whose sandbox twin this is.'),
    created_at: timestampField,
    updated_at: timestampField,
  })
  .meta({ id: 'Issuer' });

export const issuerParams = z.object({ issuer_id: z.string() });
