import { z } from 'zod';
import { createdBy } from '../api-keys/create-api-key.ts';
import { requireLive } from '../authentication/require-live.ts';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { toSupportGrantResource } from './support-grant.ts';
import { createSupportGrantBody, supportGrantResource } from './support-grant-schema.ts';

export const createSupportGrant = defineRoute({
  method: 'POST',
  path: '/v1/account/support-grants',
  operationId: 'supportGrants.create',
  summary: 'Let the operator’s support read in your account for a while',
  description:
    'Support can read then, with the account’s id in X-Gatelodge-Account, and change nothing. The trail says when the grant was made and revoked, and each hour in which it was used.',
  permission: 'gatelodge.support-grants:write',
  creates: true,
  body: createSupportGrantBody,
  responses: { 201: { description: 'The grant.', schema: z.object({ data: supportGrantResource }) } },
  errors: ['conflict', 'wrong_environment'],
  async handler({ tx, principal, body, now, record }) {
    requireLive(principal);
    if (principal.isOperator)
      throw new AppError('conflict', { detail: 'The operator’s own account needs no grant.' });
    const row = await tx
      .insertInto('support_grants')
      .values({
        id: newId(idPrefixes.supportGrant),
        account_id: principal.accountId,
        reason: body.reason,
        created_by: JSON.stringify(createdBy(principal)),
        created_at: now,
        expires_at: new Date(now.getTime() + body.expires_in_seconds * 1000),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await record({
      type: 'support-grant.created',
      subject: { type: 'support_grant', id: row.id },
      environment: 'live',
      data: { reason: row.reason, expires_at: row.expires_at.toISOString() },
    });
    return {
      status: 201,
      body: { data: toSupportGrantResource(row, now) },
      version: row.version,
      headers: { Location: `/v1/account/support-grants/${row.id}` },
    };
  },
});
