import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { shownNameField } from '../http/fields.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { holdPlan } from '../plans/plan-store.ts';
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
    const { name, publishable_scopes, plan } = current;
    const before = { name, publishable_scopes, plan };
    const after = parseInput(issuerMembers, mergePatch(before, body as Json));
    const changed = (['name', 'publishable_scopes', 'plan'] as const).filter(
      (member) => !isDeepStrictEqual(after[member], before[member]),
    );
    if (changed.length === 0) return { body: { data: toIssuerResource(current) }, version: current.version };
    if (after.name !== name) parseInput(shownNameField, after.name, 'name');
    if (after.plan !== plan) {
      requireAbove(principal);
      await holdPlan(tx, principal.accountId, after.plan);
    }
    await tx
      .updateTable('issuers')
      .set({ ...after, version: sql`version + 1`, updated_at: sql`now()` })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await record({
      type: 'issuer.updated',
      subject: { type: 'issuer', id: current.id },
      environment: current.environment,
      issuerId: current.id,
      data: { changed },
    });
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: current.id }));
    const row = await requireIssuer(tx, principal, current.id);
    return { body: { data: toIssuerResource(row) }, version: row.version };
  },
});

/** The plan of an issuer limits its own keys too, and nobody lifts a limit of its own. @throws permission_denied */
function requireAbove({ issuerId }: Principal): void {
  if (issuerId === null) return;
  throw new AppError('permission_denied', {
    detail: 'The plan of an issuer is set by a key of its account, not by one of its own.',
  });
}
