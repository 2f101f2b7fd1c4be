import { z } from 'zod';
import { nameField, timestampField } from '../http/fields.ts';
import { productScopesField } from '../scopes/product-scopes.ts';

/** How many groups an organization has at most. */
export const maxGroups = 500;

const name = nameField.describe('Unique in the organization, whatever its case.');
const scopes = productScopesField.refine((list) => list.length > 0, 'must have at least one scope');

/** Body of `POST …/groups`. */
export const createGroupBody = z.strictObject({ name, scopes }).meta({
  id: 'CreateGroupRequest',
  examples: [{ name: 'Accounting', scopes: ['invoices:read', 'invoices:write'] }],
});

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const groupMembers = z.strictObject({ name: nameField, scopes });

/** Body of `PATCH …/groups/{group_id}`. */
export const patchGroupBody = z
  .strictObject({ name: name.optional(), scopes: scopes.optional().describe('In place of those it had.') })
  .meta({ id: 'PatchGroupRequest', examples: [{ scopes: ['invoices:read'] }] });

export const groupResource = z
  .object({
    id: z.string(),
    issuer_id: z.string(),
    organization_id: z.string(),
    name: z.string(),
    scopes: z.array(z.string()),
    created_at: timestampField,
    updated_at: timestampField,
  })
  .meta({ id: 'Group' });

export const groupsParams = z.object({ issuer_id: z.string(), org_id: z.string() });
export const groupParams = z.object({ issuer_id: z.string(), org_id: z.string(), group_id: z.string() });
