import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { requireMatch } from '../http/etag.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { lockIssuer } from '../issuers/issuer-store.ts';
import type { Json } from '../postgres/schema.ts';
import { findOidcSettingsRow, type OidcSettings } from './oidc-settings.ts';
import { oidcSettingsMembers, oidcSettingsResource, patchOidcSettingsBody } from './oidc-settings-schema.ts';

export const updateOidcSettings = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/oidc-settings',
  operationId: 'oidcSettings.update',
  summary: 'Change what the OIDC runtime of an issuer does',
  description:
    'Holds within a second on every node. What is turned off is refused from then on; clients and tokens that there are stay. null sets a member back to its default.',
  permission: 'gatelodge.login-settings:write',
  params: issuerParams,
  body: patchOidcSettingsBody,
  isMergePatch: true,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: oidcSettingsResource }),
    },
  },
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    // The issuer's lock stands for the row, which may not be there yet.
    const issuer = await lockIssuer(tx, principal, params.issuer_id, undefined);
    const current = await findOidcSettingsRow(tx, { id: issuer.id, account: { id: issuer.account_id } });
    requireMatch(ifMatch, current.version);
    const settings = parseInput(
      oidcSettingsMembers,
      mergePatch(current.settings as unknown as Json, body as Json),
    );
    const changed = (Object.keys(settings) as (keyof OidcSettings)[]).filter(
      (member) => !isDeepStrictEqual(settings[member], current.settings[member]),
    );
    if (changed.length === 0) return { body: { data: settings }, version: current.version };
    const text = JSON.stringify(settings);
    const { version } = await tx
      .insertInto('oidc_settings')
      .values({ issuer_id: issuer.id, account_id: issuer.account_id, settings: text })
      .onConflict((conflict) =>
        conflict.column('issuer_id').doUpdateSet({
          settings: text,
          version: sql`oidc_settings.version + 1`,
          updated_at: sql`now()`,
        }),
      )
      .returning('version')
      .executeTakeFirstOrThrow();
    await record({
      type: 'oidc-settings.updated',
      subject: { type: 'issuer', id: issuer.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { changed },
    });
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: issuer.id }));
    return { body: { data: settings }, version };
  },
});
