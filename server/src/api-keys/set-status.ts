import { sql } from 'kysely';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { EventType } from '../events/event.ts';
import { defineRoute } from '../http/route.ts';
import { type ApiKeyRow, toApiKeyResource } from './api-key.ts';
import { apiKeyResource } from './api-key-schema.ts';
import { lockApiKey, requirePlace } from './api-key-store.ts';
import { forgetKey } from './forget-key.ts';
import { checkChange } from './key-rules.ts';
import { itemParams, keyLevels } from './levels.ts';

interface StatusChange {
  verb: 'disable' | 'enable' | 'revoke';
  status: ApiKeyRow['status'];
  event: EventType;
  summary: string;
}

/** One operation under three names; doing what is already done changes nothing, and a revoked key stays revoked. */
export function defineStatusRoutes({ verb, status, event, summary }: StatusChange) {
  return keyLevels.map((level) =>
    defineRoute({
      method: 'POST',
      path: `${level.path}/{key_id}/${verb}`,
      operationId: `${level.operations}.${verb}`,
      summary,
      permission: 'gatelodge.api-keys:write',
      params: itemParams(level),
      responses: { 200: { description: 'The key.', schema: z.object({ data: apiKeyResource }) } },
      errors: ['conflict'],
      async handler({ services, tx, principal, params, ifMatch, now, record, afterCommit }) {
        const place = await requirePlace(tx, principal, params);
        const current = await lockApiKey(tx, principal, place, params, ifMatch);
        if (current.status === status)
          return { body: { data: toApiKeyResource(current, now) }, version: current.version };
        if (current.status === 'revoked')
          throw new AppError('conflict', { detail: 'A revoked key stays revoked.' });
        if (status === 'active') checkChange(principal, current, current, { isRevived: true });
        const row = await tx
          .updateTable('api_keys')
          .set({
            status,
            version: sql`version + 1`,
            updated_at: now,
            ...(status === 'revoked' && { revoked_at: now }),
          })
          .where('account_id', '=', principal.accountId)
          .where('id', '=', current.id)
          .returningAll()
          .executeTakeFirstOrThrow();
        await record({
          type: event,
          subject: { type: 'api_key', id: row.id },
          environment: row.environment,
          issuerId: row.issuer_id,
          organizationId: row.organization_id,
        });
        afterCommit(() => forgetKey(services, row));
        const { last_used_at } = current;
        return { body: { data: toApiKeyResource({ ...row, last_used_at }, now) }, version: row.version };
      },
    }),
  );
}
