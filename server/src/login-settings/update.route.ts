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
import { findLoginSettingsRow, type LoginSettings } from './login-settings.ts';
import {
  loginSettingsMembers,
  loginSettingsResource,
  patchLoginSettingsBody,
} from './login-settings-schema.ts';

export const updateLoginSettings = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/login-settings',
  operationId: 'loginSettings.update',
  summary: 'Change how the users of an issuer sign in',
  description:
    'Holds for what begins from now on: codes that are out and tokens that live keep what they were made with. Only where `audience` changes, we no longer take the access tokens that live; a refresh answers one that we take. null sets a member back to its default.',
  permission: 'gatelodge.login-settings:write',
  params: issuerParams,
  body: patchLoginSettingsBody,
  isMergePatch: true,
  responses: {
    200: {
      description: 'The settings, every member resolved.',
      schema: z.object({ data: loginSettingsResource }),
    },
  },
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    // The issuer's lock stands for the row, which may not be there yet.
    const issuer = await lockIssuer(tx, principal, params.issuer_id, undefined);
    const current = await findLoginSettingsRow(tx, { id: issuer.id, account: { id: issuer.account_id } });
    requireMatch(ifMatch, current.version);
    const settings = parseInput(
      loginSettingsMembers,
      mergePatch(current.settings as unknown as Json, body as Json),
    );
    const changed = (Object.keys(settings) as (keyof LoginSettings)[]).filter(
      (member) => !isDeepStrictEqual(settings[member], current.settings[member]),
    );
    if (changed.length === 0) return { body: { data: settings }, version: current.version };
    const text = JSON.stringify(settings);
    const { version } = await tx
      .insertInto('login_settings')
      .values({ issuer_id: issuer.id, account_id: issuer.account_id, settings: text })
      .onConflict((conflict) =>
        conflict.column('issuer_id').doUpdateSet({
          settings: text,
          version: sql`login_settings.version + 1`,
          updated_at: sql`now()`,
        }),
      )
      .returning('version')
      .executeTakeFirstOrThrow();
    await record({
      type: 'login-settings.updated',
      subject: { type: 'issuer', id: issuer.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { changed },
    });
    afterCommit(() => services.cache.forget({ kind: 'issuer', id: issuer.id }));
    return { body: { data: settings }, version };
  },
});
