import { z } from 'zod';
import { idField, timestampField } from '../http/fields.ts';
import { idPrefixes } from '../ids/ids.ts';
import { productScopesField } from '../scopes/product-scopes.ts';
import { usernameTypeField } from '../users/user-schema.ts';

/** Of how many organizations a user is a member at most. */
export const maxMembershipsOfUser = 1_000;
const maxGroupsOfMember = 50;
/** How many groups a user is in at most, those of all its organizations together: each look-up of them reads them all. */
export const maxGroupsOfUser = 10_000;

const groupIds = z
  .array(idField(idPrefixes.group, 'a group'))
  .max(maxGroupsOfMember)
  .transform((ids) => [...new Set(ids)])
  .describe(`Ids of groups of the organization, at most ${maxGroupsOfMember}.`);

const needsScopes = 'must have at least one scope where the member is in no group';

function hasSource({ scopes, groups }: { scopes?: string[] | undefined; groups?: string[] | undefined }) {
  return (scopes?.length ?? 0) > 0 || (groups?.length ?? 0) > 0;
}

/** Body of `POST …/members`. */
export const createMemberBody = z
  .strictObject({
    member_id: idField(idPrefixes.user, 'a user').describe('The id of a user of the same issuer.'),
    scopes: productScopesField.optional(),
    groups: groupIds.optional(),
  })
  .refine(hasSource, { path: ['scopes'], message: needsScopes })
  .meta({
    id: 'CreateMemberRequest',
    examples: [{ member_id: 'usr_0000000000000000000000000', scopes: ['invoices:read', 'invoices:write'] }],
  });

/** What `PATCH` may change, whole: a merge patch is applied to what there is and then checked by this. */
export const memberMembers = z
  .strictObject({ scopes: productScopesField.default([]), groups: groupIds.default([]) })
  .refine(hasSource, { path: ['scopes'], message: needsScopes });

/** Body of `PATCH …/members/{member_id}`; a list takes the place of the one before it. */
export const patchMemberBody = z
  .strictObject({ scopes: productScopesField.nullish(), groups: groupIds.nullish() })
  .meta({ id: 'PatchMemberRequest', examples: [{ scopes: ['invoices:read'] }] });

const groupsOfMember = z.array(z.object({ id: z.string(), name: z.string() })).describe('By name.');
const effectiveScopesField = z
  .array(z.string())
  .describe('The member’s own and those of its groups, each once. A client may be let have fewer.');

const profileText = z.string().nullable();

const memberShape = {
  member_id: z.string().describe('The id of the user.'),
  organization_id: z.string(),
  user: z.object({
    username_type: usernameTypeField,
    username: z.string(),
    status: z.enum(['active', 'suspended']),
    first_name: profileText,
    last_name: profileText,
    display_name: profileText,
  }),
  scopes: z.array(z.string()).describe('The member’s own.'),
  groups: groupsOfMember,
  created_at: timestampField.describe('When the user became a member.'),
  updated_at: timestampField,
};

/** As lists tell it: what all groups of a page come to would be hundreds of thousands of scopes. */
export const listedMember = z.object(memberShape).meta({ id: 'ListedMember' });

export const memberResource = z
  .object({ ...memberShape, effective_scopes: effectiveScopesField })
  .meta({ id: 'Member' });

export const writtenMember = memberResource
  .extend({
    user: memberShape.user
      .optional()
      .describe(
        'Left out for a key without `gatelodge.members:read`: a change tells it no address of a user.',
      ),
  })
  .meta({ id: 'WrittenMember' });

export const userOrganizationResource = z
  .object({
    organization_id: z.string(),
    name: z.string(),
    external_id: z.string().nullable(),
    status: z
      .enum(['active', 'suspended'])
      .describe('Of the organization. A suspended one is left out of tokens and of what a user is told.'),
    scopes: z.array(z.string()).describe('The member’s own; what it has in all, the member itself tells.'),
    groups: groupsOfMember,
    created_at: timestampField.describe('When the user became a member.'),
    updated_at: timestampField.describe('Of the membership.'),
  })
  .meta({ id: 'UserOrganization' });

/** The organizations that a token or an identity tells. */
export const organizationClaims = z
  .array(
    z.object({
      org_id: z.string(),
      name: z.string().optional(),
      scopes: z.array(z.string()).optional(),
    }),
  )
  .describe(
    'Of a key, the organization it acts for. Of a user, those it is a member of at this moment, without suspended ones; where all scopes together exceed 1 MiB, those with the most by their ids alone.',
  );

export const membersParams = z.object({ issuer_id: z.string(), org_id: z.string() });
export const memberParams = z.object({ issuer_id: z.string(), org_id: z.string(), member_id: z.string() });
