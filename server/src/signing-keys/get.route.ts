import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toSigningKeyResource } from './signing-key-resource.ts';
import { signingKeyParams, signingKeyResource } from './signing-key-schema.ts';
import { requireSigningKey } from './signing-key-store.ts';

export const getSigningKey = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/signing-keys/{signing_key_id}',
  operationId: 'signingKeys.get',
  summary: 'Read a signing key',
  permission: 'gatelodge.signing-keys:read',
  params: signingKeyParams,
  responses: { 200: { description: 'The signing key.', schema: z.object({ data: signingKeyResource }) } },
  async handler({ services, tx, principal, params, now }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await requireSigningKey(tx, principal, issuer.id, params.signing_key_id);
    return { body: { data: toSigningKeyResource(row, services.secrets, now) }, version: row.version };
  },
});
