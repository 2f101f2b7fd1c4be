import { defineRoute } from '../http/route.ts';
import { lockApiKey, requirePlace } from './api-key-store.ts';
import { forgetKey } from './forget-key.ts';
import { itemParams, keyLevels } from './levels.ts';

export const deleteApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'DELETE',
    path: `${level.path}/{key_id}`,
    operationId: `${level.operations}.delete`,
    summary: `Delete an API key of ${level.owner}`,
    description: 'The key is dead at once and its record gone; to keep the record, revoke it.',
    permission: 'gatelodge.api-keys:write',
    params: itemParams(level),
    responses: { 204: { description: 'Deleted; there is no way back.' } },
    async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
      const place = await requirePlace(tx, principal, params);
      const current = await lockApiKey(tx, principal, place, params, ifMatch);
      await tx
        .deleteFrom('api_keys')
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .execute();
      await record({
        type: 'api-key.deleted',
        subject: { type: 'api_key', id: current.id },
        environment: current.environment,
        issuerId: current.issuer_id,
        organizationId: current.organization_id,
        data: { name: current.name, hint: current.hint },
      });
      afterCommit(() => forgetKey(services, current));
      return { status: 204 };
    },
  }),
);
