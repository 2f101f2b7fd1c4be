import { sql } from 'kysely';
import { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { defineRoute } from '../http/route.ts';
import type { Transaction } from '../postgres/database.ts';
import { type ApiKeyRow, endOf, statusOf, toApiKeyResource } from './api-key.ts';
import { createdApiKeyResource, rotateApiKeyBody } from './api-key-schema.ts';
import { lockApiKey, requirePlace } from './api-key-store.ts';
import { createdBy, insertApiKey } from './create-api-key.ts';
import { forgetKey } from './forget-key.ts';
import { checkCeiling, checkGrant } from './key-rules.ts';
import { collectionPath, itemParams, keyLevels } from './levels.ts';
import { usesOfHour } from './rotation-traffic.ts';

export const rotateApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'POST',
    path: `${level.path}/{key_id}/rotate`,
    operationId: `${level.operations}.rotate`,
    summary: `Replace an API key of ${level.owner} by a successor`,
    description:
      'The successor has the same name, restrictions, limits, metadata and expiry, and another secret, which is on this answer only (and on its replay under the same Idempotency-Key). The old key works until the grace ends, never past its own expiry; its answers carry Deprecation and Sunset. Both count against the same limits, and use the same credits. To end the grace early, revoke the old key.',
    permission: 'gatelodge.api-keys:write',
    readsMetering: true,
    creates: true,
    params: itemParams(level),
    body: rotateApiKeyBody,
    responses: {
      201: {
        description: 'The successor and its secret.',
        schema: z.object({ data: createdApiKeyResource }),
      },
    },
    errors: ['already_rotated', 'conflict'],
    async handler({ services, tx, principal, params, body, ifMatch, now, record, afterCommit }) {
      const place = await requirePlace(tx, principal, params);
      const current = await lockApiKey(tx, principal, place, params, undefined);
      // Whoever rotates a key gets to hold all that it may do; a key that rotates itself gets nothing new.
      if (principal.keyId === current.id) checkCeiling(principal, current.scopes);
      else checkGrant(principal, current);
      await requireRotatable(tx, principal, current, now);
      // Only now: the version has moved when a rotation is sent again under its Idempotency-Key.
      requireMatch(ifMatch, current.version);
      const { row: successor, secret } = await insertApiKey(
        tx,
        services.secrets,
        {
          place,
          profile: place.profile,
          kind: current.kind,
          environment: current.environment,
          scopes: current.scopes,
          expiresAt: current.expires_at,
          name: current.name,
          description: current.description,
          origins: current.origins,
          browsers: current.browsers,
          requireOrigin: current.require_origin,
          ips: current.ips,
          limits: current.limits,
          // As they are, with the moment since when they count: what was used stays used.
          quota: current.quota,
          metadata: current.metadata,
          createdBy: createdBy(principal),
          succeeds: { id: current.id, lineageId: current.lineage_id ?? current.id },
        },
        now,
      );
      const retiresAt = endOfGrace(endOf(current), body.grace_seconds, now);
      const old = await tx
        .updateTable('api_keys')
        .set({
          successor_id: successor.id,
          rotated_at: now,
          retires_at: retiresAt,
          retire: body.retire,
          uses_before_rotation: await usesOfHour(tx, current, now),
          rotation_due_at: null,
          next_notice_at: null,
          version: sql`version + 1`,
          updated_at: now,
        })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      const standing = {
        environment: old.environment,
        issuerId: old.issuer_id,
        organizationId: old.organization_id,
      };
      await record({
        type: 'api-key.rotated',
        subject: { type: 'api_key', id: old.id },
        ...standing,
        data: {
          successor_id: successor.id,
          grace_seconds: body.grace_seconds,
          retire: body.retire,
          retires_at: retiresAt.toISOString(),
        },
      });
      await record({
        type: 'api-key.created',
        subject: { type: 'api_key', id: successor.id },
        ...standing,
        data: {
          name: successor.name,
          kind: successor.kind,
          hint: successor.hint,
          predecessor_id: old.id,
        },
      });
      afterCommit(() => {
        forgetKey(services, old);
        services.keys.forgetOriginHints();
      });
      return {
        status: 201,
        body: { data: { ...toApiKeyResource(successor, now), secret_plain: secret } },
        version: successor.version,
        headers: { Location: `${collectionPath(place)}/${successor.id}` },
      };
    },
  }),
);

/** @throws already_rotated or conflict (409) that says what to do instead */
async function requireRotatable(
  tx: Transaction,
  principal: Principal,
  key: ApiKeyRow,
  now: Date,
): Promise<void> {
  const { successor_id } = key;
  if (successor_id !== null) {
    const successor = await tx
      .selectFrom('api_keys')
      .select('id')
      .where('account_id', '=', key.account_id)
      .where('id', '=', successor_id)
      .executeTakeFirst();
    // One whose successor was deleted gets another, though not by its own hand: it could go on for ever.
    if (successor !== undefined)
      throw new AppError('already_rotated', {
        detail: `The key has been rotated already; rotate its successor ${successor_id} instead.`,
      });
    if (principal.keyId === key.id)
      throw new AppError('conflict', { detail: 'A key that was rotated can’t rotate itself again.' });
  }
  const status = statusOf(key, now);
  if (status === 'active') return;
  const instead = status === 'disabled' ? 'enable it first, or create a new key' : 'create a new key';
  throw new AppError('conflict', { detail: `The key is ${status}; ${instead}.` });
}

/** Never past the key's own expiry, nor past the end of the grace that an earlier rotation gave it. */
function endOfGrace(endsAt: Date | null, graceSeconds: number, now: Date): Date {
  const end = new Date(now.getTime() + graceSeconds * 1000);
  return endsAt !== null && endsAt < end ? endsAt : end;
}
