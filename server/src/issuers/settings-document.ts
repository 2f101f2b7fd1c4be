import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import type { z } from 'zod';
import { requireMatch } from '../http/etag.ts';
import { mergePatch } from '../http/merge-patch.ts';
import type { Answer, RouteContext } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Json } from '../postgres/schema.ts';
import { lockIssuer } from './issuer-store.ts';

/** A document of settings that each issuer has one of, in a table with a row for each that has set something. */
export interface SettingsDocument<Settings> {
  readonly table: 'login_settings' | 'oidc_settings';
  readonly event: 'login-settings.updated' | 'oidc-settings.updated';
  readonly members: z.ZodType<Settings>;
  readonly find: (
    tx: Transaction,
    issuer: { readonly id: string; readonly account: { readonly id: string } },
  ) => Promise<{ settings: Settings; version: number }>;
}

/**
 * Merges the patch of a request into a document (RFC 7396) and keeps it, with an event that names what has changed. A
 * patch that changes nothing keeps the version and is no event.
 *
 * @throws RequestError where what comes of it is no such document, or is not what `If-Match` names
 */
export async function changeSettings<Settings extends object>(
  { table, event, members, find }: SettingsDocument<Settings>,
  context: RouteContext<{ issuer_id: string }, unknown, unknown>,
): Promise<Answer> {
  const { services, tx, principal, params, body, ifMatch, record, afterCommit } = context;
  // The issuer's lock stands for the row, which may not be there yet.
  const issuer = await lockIssuer(tx, principal, params.issuer_id, undefined);
  const current = await find(tx, { id: issuer.id, account: { id: issuer.account_id } });
  requireMatch(ifMatch, current.version);
  const settings = parseInput(members, mergePatch(current.settings as Json, body as Json));
  const changed = (Object.keys(settings) as (keyof Settings & string)[]).filter(
    (member) => !isDeepStrictEqual(settings[member], current.settings[member]),
  );
  if (changed.length === 0) return { body: { data: settings }, version: current.version };
  const kept = await sql<{ version: number }>`
    insert into ${sql.table(table)} as kept (issuer_id, account_id, settings)
    values (${issuer.id}, ${issuer.account_id}, ${JSON.stringify(settings)})
    on conflict (issuer_id) do update
    set settings = excluded.settings, version = kept.version + 1, updated_at = now()
    returning version
  `.execute(tx);
  await record({
    type: event,
    subject: { type: 'issuer', id: issuer.id },
    environment: issuer.environment,
    issuerId: issuer.id,
    data: { changed },
  });
  afterCommit(() => services.cache.forget({ kind: 'issuer', id: issuer.id }));
  return { body: { data: settings }, version: kept.rows[0]!.version };
}
