import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { keyProfileResource } from './key-profile-resource.ts';
import { findKeyProfile } from './key-profile-store.ts';

export const getKeyProfile = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/key-profile',
  operationId: 'keyProfiles.get',
  summary: 'Read how the keys of an issuer look and how its errors speak',
  permission: 'gatelodge.key-profiles:read',
  params: issuerParams,
  responses: { 200: { description: 'The key profile.', schema: z.object({ data: keyProfileResource }) } },
  async handler({ tx, principal, params }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await findKeyProfile(tx, principal.accountId, issuer.id);
    return { body: { data: row.profile }, version: row.version };
  },
});
