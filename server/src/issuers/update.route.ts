import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import type { Json } from '../postgres/schema.ts';
import { toIssuerResource } from './issuer.ts';
import { issuerMembers, issuerParams, issuerResource, patchIssuerBody } from './issuer-schema.ts';
import { lockIssuer, requireIssuer } from './issuer-store.ts';

export const updateIssuer = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}',
  operationId: 'issuers.update',
  summary: 'Change an issuer',
  permission: 'gatelodge.issuers:write',
  params: issuerParams,
  body: patchIssuerBody,
  isMergePatch: true,
  responses: { 200: { description: 'The issuer.', schema: z.object({ data: issuerResource }) } },
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    const current = await lockIssuer(tx, principal, params.issuer_id, ifMatch);
    const { name, publishable_scopes } = current;
    const changed = parseInput(issuerMembers, mergePatch({ name, publishable_scopes }, body as Json));
    if (isDeepStrictEqual(changed, { name, publishable_scopes }))
      return { body: { data: toIssuerResource(current) }, version: current.version };
    await tx
      .updateTable('issuers')
      .set({ ...changed, version: sql`version + 1`, updated_at: sql`now()` })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await record({
      type: 'issuer.updated',
      subject: { type: 'issuer', id: current.id },
      environment: current.environment,
      issuerId: current.id,
      data: { changed: Object.keys(body) },
    });
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: current.id }));
    const row = await requireIssuer(tx, principal, current.id);
    return { body: { data: toIssuerResource(row) }, version: row.version };
  },
});
