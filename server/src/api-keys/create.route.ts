import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { toApiKeyResource } from './api-key.ts';
import { createApiKeyBody, createdApiKeyResource } from './api-key-schema.ts';
import { requirePlace } from './api-key-store.ts';
import { createdBy, factsOf, insertApiKey, limitsOf } from './create-api-key.ts';
import { checkGrant, checkKey } from './key-rules.ts';
import { collectionPath, keyLevels } from './levels.ts';

export const createApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'POST',
    path: level.path,
    operationId: `${level.operations}.create`,
    summary: `Create an API key of ${level.owner}`,
    description: 'The secret is on this answer only (and on its replay under the same Idempotency-Key).',
    permission: 'gatelodge.api-keys:write',
    creates: true,
    params: level.params,
    body: createApiKeyBody,
    responses: {
      201: { description: 'The key and its secret.', schema: z.object({ data: createdApiKeyResource }) },
    },
    errors: ['wrong_environment'],
    async handler({ services, tx, principal, params, body, now, record, afterCommit }) {
      const place = await requirePlace(tx, principal, params);
      const key = factsOf(place, principal.environment, body);
      if (principal.environment === 'sandbox' && key.environment === 'live')
        throw new AppError('wrong_environment');
      // Before the rules that time can break, so that a replay (http/idempotency.ts) always gets this far.
      checkGrant(principal, {
        scopes: key.scopes === null ? null : [...key.scopes],
        expires_at: key.expiresAt,
        ips: body.restrictions?.ips ?? [],
      });
      checkKey(place, key, now);
      const { restrictions } = body;
      const { row, secret } = await insertApiKey(
        tx,
        services.secrets,
        {
          ...key,
          place,
          profile: place.profile,
          name: body.name ?? null,
          description: body.description,
          origins: restrictions?.origins ?? [],
          browsers: restrictions?.browsers ?? 'allow',
          requireOrigin: restrictions?.require_origin ?? false,
          ips: restrictions?.ips ?? [],
          ...limitsOf(body, now),
          metadata: body.metadata ?? {},
          createdBy: createdBy(principal),
        },
        now,
      );
      afterCommit(() => services.keys.forgetOriginHints());
      await record({
        type: 'api-key.created',
        subject: { type: 'api_key', id: row.id },
        environment: row.environment,
        issuerId: row.issuer_id,
        organizationId: row.organization_id,
        data: { name: row.name, kind: row.kind, hint: row.hint },
      });
      return {
        status: 201,
        body: { data: { ...toApiKeyResource(row, now), secret_plain: secret } },
        version: row.version,
        headers: { Location: `${collectionPath(place)}/${row.id}` },
      };
    },
  }),
);
