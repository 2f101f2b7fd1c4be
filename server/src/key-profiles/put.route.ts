import { sql } from 'kysely';
import { z } from 'zod';
import { invalidFields } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { defineRoute } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { lockIssuer } from '../issuers/issuer-store.ts';
import { keyProfileResource, putKeyProfileBody } from './key-profile-resource.ts';
import { findKeyProfile } from './key-profile-store.ts';
import { resolveKeyProfile } from './validate-key-profile.ts';

export const putKeyProfile = defineRoute({
  method: 'PUT',
  path: '/v1/issuers/{issuer_id}/key-profile',
  operationId: 'keyProfiles.put',
  summary: 'Choose how the keys of an issuer look and how its errors speak',
  description:
    'Replaces the whole profile: members left out take the value of the preset (`standard` unless named). Keys made before keep their looks and go on working.',
  permission: 'gatelodge.key-profiles:write',
  params: issuerParams,
  body: putKeyProfileBody,
  responses: {
    200: {
      description: 'The key profile, every member resolved.',
      schema: z.object({ data: keyProfileResource }),
    },
  },
  errors: ['precondition_failed'],
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    const issuer = await lockIssuer(tx, principal, params.issuer_id, undefined);
    requireMatch(ifMatch, (await findKeyProfile(tx, principal.accountId, issuer.id)).version);
    const resolved = resolveKeyProfile(body);
    if (!resolved.ok) throw invalidFields(resolved.errors);
    const row = await tx
      .updateTable('key_profiles')
      .set({ profile: JSON.stringify(resolved.profile), version: sql`version + 1`, updated_at: sql`now()` })
      .where('account_id', '=', principal.accountId)
      .where('issuer_id', '=', issuer.id)
      .returning(['profile', 'version'])
      .executeTakeFirstOrThrow();
    await record({
      type: 'key-profile.updated',
      subject: { type: 'issuer', id: issuer.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { preset: row.profile.preset },
    });
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: issuer.id }));
    return { body: { data: row.profile }, version: row.version };
  },
});
