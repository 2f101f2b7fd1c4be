import { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import { AppError, type FieldError, invalidFields } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { maxErrors } from '../http/validation.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { requirePlace } from './api-key-store.ts';
import { createdBy, factsOf } from './create-api-key.ts';
import { insertImportedKeys, type KeyToImport, partNewKeys } from './import-api-keys.ts';
import { importApiKeysBody, importResult } from './import-schema.ts';
import { checkGrant, checkKey, type KeyPlace } from './key-rules.ts';
import { keyLevels } from './levels.ts';

export const importApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'POST',
    path: `${level.path}/import`,
    operationId: `${level.operations}.import`,
    summary: `Import API keys of ${level.owner} from another system by their hashes`,
    description:
      'The keys’ users go on with the secrets that they have. `POST /v1/keys/verify` and `/v1/authorize` accept imported keys; they never manage Gatelodge. What is invalid anywhere imports nothing; a conflict leaves out its own key alone.',
    permission: 'gatelodge.api-keys:write',
    creates: true,
    params: level.params,
    body: importApiKeysBody,
    responses: {
      200: {
        description: 'What was imported and what was not.',
        schema: z.object({ data: importResult }),
        isReport: true,
      },
    },
    errors: ['wrong_environment'],
    async handler({ services, tx, principal, params, body, now, recordAll, afterCommit }) {
      const place = await requirePlace(tx, principal, params);
      const keys = body.keys.map((input, index) => ({
        index,
        input,
        facts: factsOf(place, principal.environment, input),
      }));
      authorizeAll(principal, keys);
      checkAll(place, keys, now);
      const { secrets } = services;
      const { fresh, conflicts, leftBehind } = await partNewKeys(tx, secrets, principal.accountId, keys);
      if (body.dry_run || fresh.length === 0)
        return { body: { data: { imported: fresh.length, conflicts, keys: [] } } };
      const batch = newId(idPrefixes.importBatch);
      const context = { secrets, place, batch, createdBy: createdBy(principal), now };
      const { rows, digests } = await insertImportedKeys(tx, context, fresh, leftBehind);
      await recordAll(
        rows.map((row) => ({
          type: 'api-key.imported',
          subject: { type: 'api_key', id: row.id },
          environment: row.environment,
          issuerId: row.issuer_id,
          organizationId: row.organization_id,
          data: { name: row.name, kind: row.kind, hint: row.hint, import_batch: batch },
        })),
      );
      afterCommit(() => {
        services.imported.learn(batch, digests);
        services.cache.noteCreation(batch);
        services.keys.forgetOriginHints();
      });
      return {
        body: {
          data: {
            imported: rows.length,
            conflicts,
            keys: rows.map(({ id }, at) => ({ index: fresh[at]!.index, id })),
          },
        },
      };
    },
  }),
);

/** Whoever may not make one of these keys imports none. @throws wrong_environment, permission_denied (403) */
function authorizeAll(principal: Principal, keys: readonly KeyToImport[]): void {
  for (const { index, input, facts } of keys) {
    if (principal.environment === 'sandbox' && facts.environment === 'live')
      throw new AppError('wrong_environment');
    try {
      checkGrant(principal, {
        scopes: facts.scopes === null ? null : [...facts.scopes],
        expires_at: facts.expiresAt,
        ips: input.restrictions?.ips ?? [],
      });
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      throw new AppError(error.code, { detail: `keys[${index}]: ${error.detail}`, cause: error });
    }
  }
}

/** @throws invalid_request (422) with every rule that any of the keys breaks, at most 50 */
function checkAll(place: KeyPlace, keys: readonly KeyToImport[], now: Date): void {
  const errors: FieldError[] = [];
  for (const { index, facts } of keys) {
    try {
      checkKey(place, facts, now);
    } catch (error) {
      if (!(error instanceof AppError) || error.errors === undefined) throw error;
      errors.push(...error.errors.map((each) => ({ ...each, path: `keys[${index}].${each.path}` })));
    }
    if (errors.length >= maxErrors) break;
  }
  if (errors.length > 0) throw invalidFields(errors.slice(0, maxErrors));
}
