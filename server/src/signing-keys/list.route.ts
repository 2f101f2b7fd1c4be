import { z } from 'zod';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toSigningKeyResource } from './signing-key-resource.ts';
import { signingKeyResource } from './signing-key-schema.ts';
import { listSigningKeys, type SigningKeyRow } from './signing-key-store.ts';

export const listSigningKeysRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/signing-keys',
  operationId: 'signingKeys.list',
  summary: 'List the signing keys of an issuer, newest first',
  permission: 'gatelodge.signing-keys:read',
  params: issuerParams,
  query: z.strictObject(pageQuery),
  responses: { 200: { description: 'A page of signing keys.', schema: pageOf(signingKeyResource) } },
  async handler({ services, tx, principal, params, query, now, cursors }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const owner = { accountId: principal.accountId, issuerId: issuer.id };
    const rows = await listSigningKeys(tx, owner, query, cursors);
    const render = (row: SigningKeyRow) => toSigningKeyResource(row, services.secrets, now);
    return { body: toPage(rows, query.limit, cursors, (row) => [row.id], render) };
  },
});
