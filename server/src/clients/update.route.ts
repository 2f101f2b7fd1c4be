import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { invalidField } from '../errors.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import type { Json } from '../postgres/schema.ts';
import { changesOfClient } from './changes-of-client.ts';
import { requireBindable, requireCallable, resolveClient, toClientResource } from './client.ts';
import { clientMembers, clientParams, clientResource, patchClientBody } from './client-schema.ts';
import { lockClient, secretsOf } from './client-store.ts';
import { changedSettings, readSettings } from './stored-settings.ts';

export const updateClient = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/clients/{client_id}',
  operationId: 'clients.update',
  summary: 'Change a client',
  description:
    'Objects merge, lists are replaced, and null sets a member back to its default. `confidential` can’t change: create another client.',
  permission: 'gatelodge.clients:write',
  params: clientParams,
  body: patchClientBody,
  isMergePatch: true,
  responses: { 200: { description: 'The client.', schema: z.object({ data: clientResource }) } },
  async handler({ services, tx, principal, params, body, ifMatch, now, record, afterCommit }) {
    const current = await lockClient(tx, principal, params, ifMatch);
    const { confidential: wanted, ...patch } = body;
    if (wanted !== undefined && wanted !== current.confidential)
      throw invalidField('confidential', 'can’t change; create another client instead');
    const before = {
      name: current.name,
      type: current.type,
      settings: readSettings(current),
      metadata: current.metadata,
    };
    const { settings: _, ...besideSettings } = before;
    // Settings that nobody touches are not judged: they may be of a build with other rules.
    const isAboutSettings = patch.settings !== undefined;
    const given = isAboutSettings
      ? parseInput(clientMembers, mergePatch(before as unknown as Json, patch as Json))
      : parseInput(clientMembers.omit({ settings: true }), mergePatch(besideSettings as Json, patch as Json));
    const { settings } = isAboutSettings
      ? resolveClient({ ...given, confidential: current.confidential })
      : before;
    // One that was set under other settings of the server keeps nobody from changing the rest.
    if (settings.openid.backchannel_logout_uri !== before.settings.openid.backchannel_logout_uri)
      requireCallable({ confidential: current.confidential, settings }, services.outbound);
    if (!before.settings.openid.dpop_bound_access_tokens)
      await requireBindable(
        tx,
        { account_id: current.account_id, id: current.issuer_id },
        { confidential: current.confidential, settings },
      );
    const after = { ...given, settings };
    const changes = changesOfClient(before, after);
    const secrets = await secretsOf(tx, current);
    if (changes.changed.length === 0)
      return { body: { data: toClientResource(current, secrets, now) }, version: current.version };
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await tx
      .updateTable('clients')
      .set({
        name: after.name,
        type: after.type,
        // Only what has changed, so that a node of this build takes nothing away that one of a later build has written.
        ...(!isDeepStrictEqual(settings, before.settings) && {
          settings: JSON.stringify(changedSettings(current.settings, before.settings, after.settings)),
        }),
        metadata: JSON.stringify(after.metadata),
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record({
      type: 'client.updated',
      subject: { type: 'client', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      // Of the type its value as well: it says whether users are asked for their consent.
      data: { ...changes, ...(row.type !== before.type && { type: row.type }) },
    });
    afterCommit(() => services.cache.forget({ kind: 'client', id: row.id }));
    return { body: { data: toClientResource(row, secrets, now) }, version: row.version };
  },
});
