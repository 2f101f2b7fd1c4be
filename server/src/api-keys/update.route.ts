import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { type StoredQuota, setCredits } from '../limits/quota.ts';
import type { Json } from '../postgres/schema.ts';
import { type ApiKeyRow, restrictionsOf, termsOf, toApiKeyResource } from './api-key.ts';
import { apiKeyMembers, apiKeyResource, patchApiKeyBody } from './api-key-schema.ts';
import { lockApiKey, requirePlace } from './api-key-store.ts';
import { forgetKey } from './forget-key.ts';
import { checkChange, checkKey, type KeyPlace } from './key-rules.ts';
import { itemParams, keyLevels } from './levels.ts';
import { nextNoticeAt } from './notices.ts';

export const updateApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'PATCH',
    path: `${level.path}/{key_id}`,
    operationId: `${level.operations}.update`,
    summary: `Change an API key of ${level.owner}`,
    description: 'Kind and environment are for life. What changes holds from the next request on.',
    permission: 'gatelodge.api-keys:write',
    params: itemParams(level),
    body: patchApiKeyBody,
    isMergePatch: true,
    responses: { 200: { description: 'The key.', schema: z.object({ data: apiKeyResource }) } },
    errors: ['conflict'],
    async handler({ services, tx, principal, params, body, ifMatch, now, record, afterCommit }) {
      const place = await requirePlace(tx, principal, params);
      const current = await lockApiKey(tx, principal, place, params, ifMatch);
      if (current.status === 'revoked') {
        throw new AppError('conflict', { detail: 'A revoked key can’t be changed any more.' });
      }
      const after = applyPatch(place, current, body, now);
      checkChange(principal, current, after, { isRevived: false });
      // Only what is changed is judged: a key may still be renamed when it has expired, or when its issuer no longer
      // marks one of its scopes publishable (the scope is without effect then).
      const expiresAt = body.expires_at === undefined ? null : after.expires_at;
      const scopes = body.restrictions?.scopes === undefined ? [] : after.scopes;
      checkKey(place, { ...current, scopes, expiresAt }, now);
      const changed = changedMembers(current, after);
      if (changed.length === 0)
        return { body: { data: toApiKeyResource(current, now) }, version: current.version };
      const row = await tx
        .updateTable('api_keys')
        .set({
          ...after,
          metadata: JSON.stringify(after.metadata),
          limits: JSON.stringify(after.limits),
          quota: after.quota && JSON.stringify(after.quota),
          next_notice_at: noticeAfter(current, after.expires_at, now),
          version: sql`version + 1`,
          updated_at: now,
        })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      await record({
        type: 'api-key.updated',
        subject: { type: 'api_key', id: row.id },
        environment: row.environment,
        issuerId: row.issuer_id,
        organizationId: row.organization_id,
        data: { changed },
      });
      afterCommit(() => forgetKey(services, row));
      const { last_used_at } = current;
      return { body: { data: toApiKeyResource({ ...row, last_used_at }, now) }, version: row.version };
    },
  }),
);

/** Another expiry has other notices. One that is due and has not been given yet stays due. */
function noticeAfter(current: ApiKeyRow, expiresAt: Date | null, now: Date): Date | null {
  const { next_notice_at: due } = current;
  const isSame = current.expires_at?.getTime() === expiresAt?.getTime();
  if (isSame || (due !== null && due <= now)) return due;
  return nextNoticeAt({ ...current, expires_at: expiresAt }, now);
}

/** By their names in the API, where several columns are `restrictions`. */
function changedMembers(current: ApiKeyRow, after: ReturnType<typeof applyPatch>): string[] {
  // Compared as JSON, in which a row holds them: there is no minus zero.
  const asHeld = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  const columns = Object.keys(after) as (keyof typeof after)[];
  const changed = columns.filter(
    (column) => !isDeepStrictEqual(asHeld(after[column]), asHeld(current[column])),
  );
  return [...new Set(changed.map((column) => (column in restrictionsOf(current) ? 'restrictions' : column)))];
}

/** The changed columns. Restrictions that a patch removes go back to what a key without them has. */
function applyPatch(place: KeyPlace, current: ApiKeyRow, patch: z.output<typeof patchApiKeyBody>, now: Date) {
  const { name, description, metadata } = current;
  const whole: Json = {
    name,
    description,
    metadata,
    expires_at: current.expires_at?.toISOString() ?? null,
    restrictions: restrictionsOf(current),
    limits: current.limits.map((limit) => ({ ...limit })),
    quota: termsOf(current.quota),
  };
  const members = parseInput(apiKeyMembers, mergePatch(whole, patch as Json));
  const { restrictions } = members;
  return {
    name: members.name,
    description: members.description,
    metadata: members.metadata,
    limits: members.limits,
    quota: quotaAfter(current.quota, members.quota, patch.quota?.credits !== undefined, now),
    expires_at: members.expires_at === null ? null : new Date(members.expires_at),
    scopes: restrictions.scopes ?? (place.issuer === null ? null : []),
    origins: restrictions.origins ?? [],
    browsers: restrictions.browsers ?? 'allow',
    require_origin: restrictions.require_origin ?? false,
    ips: restrictions.ips ?? [],
  } as const;
}

/** Credits that the patch names count from now on, also where they are as many as before; others go on as they are. */
function quotaAfter(
  held: StoredQuota | null,
  terms: Pick<StoredQuota, 'credits' | 'refill'> | null,
  areCreditsSet: boolean,
  now: Date,
): StoredQuota | null {
  if (terms === null) return null;
  return held === null || areCreditsSet ? setCredits(terms, now.getTime(), held) : { ...held, ...terms };
}
