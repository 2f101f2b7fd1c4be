import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { insertAccount } from '../accounts/create-account.ts';
import { insertApiKey } from '../api-keys/create-api-key.ts';
import { insertEvent } from '../events/event-store.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { insertIssuer } from '../issuers/create-issuer.ts';
import { presets } from '../key-profiles/presets.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Services } from '../services.ts';
import { createDemos, type Demo } from './demos.ts';
import { replaceSecretFile } from './secret-json.ts';

/** What `{data dir}/bootstrap.json` holds: how to begin with a new installation. */
export interface Bootstrap {
  base_url: string;
  account_id: string;
  api_key: { id: string; secret: string };
  demo: { issuer_id: string; api_key: { id: string; secret: string } };
  /** With a one-time sign-in token; null until there is a dashboard. */
  dashboard_url: string | null;
  /** One issuer per preset, made by `--demo`; anew when none of them is left. */
  demos?: Demo[];
}

/** Where the file is. */
export function bootstrapPath(dataDir: string): string {
  return join(dataDir, 'bootstrap.json');
}

/**
 * Makes the first account, its key, the issuer `demo` and its key on an empty database, and the demo issuers where they
 * are asked for; once, however many nodes start. Answers the content of `bootstrap.json`, or null on a node that has
 * none (another one made the first account).
 */
export async function ensureBootstrap(
  services: Services,
  options: { demo: boolean },
): Promise<Bootstrap | null> {
  await services.database.withAccount(newId(idPrefixes.account), (tx) => makeFirstAccount(services, tx));
  const bootstrap = await readBootstrap(services);
  if (bootstrap === null || !options.demo) return bootstrap;
  return services.database.withAccount(bootstrap.account_id, async (tx) => {
    if (await hasDemos(tx, bootstrap)) return bootstrap;
    // Before the commit, as with the first account: of demos whose commit failed none is there at the next start.
    const withDemos = { ...bootstrap, demos: await createDemos(services, tx, bootstrap.account_id) };
    await replaceSecretFile(bootstrapPath(services.settings.dataDir), withDemos);
    return withDemos;
  });
}

/** Whether any of the demos that the file tells of is in the database: they were made in one transaction. */
async function hasDemos(tx: Transaction, { account_id, demos = [] }: Bootstrap): Promise<boolean> {
  if (demos.length === 0) return false;
  const row = await tx
    .selectFrom('issuers')
    .select('id')
    .where('account_id', '=', account_id)
    .where('deleting', '=', false)
    .where(
      'id',
      'in',
      demos.map((demo) => demo.issuer_id),
    )
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** The file, unless it is of another database than this one. */
async function readBootstrap({ settings, database, log }: Services): Promise<Bootstrap | null> {
  const text = await readFile(bootstrapPath(settings.dataDir), 'utf8').catch(() => null);
  if (text === null) return null;
  const bootstrap = parseBootstrap(text);
  if (bootstrap === null) {
    // It only tells how to begin; a server that others depend on does not stay down for it.
    log.warn({ file: bootstrapPath(settings.dataDir) }, 'The file is damaged and was left alone');
    return null;
  }
  const { rows } = await sql<{ id: string | null }>`select lookup_operator_account() as id`.execute(
    database.lookups,
  );
  return rows[0]?.id === bootstrap.account_id ? bootstrap : null;
}

function parseBootstrap(text: string): Bootstrap | null {
  try {
    const value = JSON.parse(text) as Bootstrap | null;
    return typeof value?.account_id === 'string' ? value : null;
  } catch {
    return null;
  }
}

/**
 * The file is written before the commit: a crash in between leaves a file whose keys nobody knows and an empty
 * database, which the next start mends; the other way round the only key would be lost.
 */
async function makeFirstAccount(services: Services, tx: Transaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatelodge first account', 0))`.execute(tx);
  const { rows } = await sql<{ id: string | null }>`select lookup_operator_account() as id`.execute(tx);
  if (rows[0]?.id != null) return;
  const { settings, secrets, clock } = services;
  const now = clock.now();
  const bySystem = { type: 'system', id: 'first-start' } as const;
  const { accountId, key } = await insertAccount(
    tx,
    secrets,
    {
      name: 'Operator',
      ownerEmail: settings.bootstrapEmail,
      plan: 'unlimited',
      isOperator: true,
      createdBy: bySystem,
    },
    now,
  );
  const issuerId = await insertIssuer(tx, secrets, { accountId, name: 'demo', environment: 'live' }, now);
  const demo = await insertApiKey(
    tx,
    secrets,
    {
      place: {
        accountId,
        issuer: { id: issuerId, environment: 'live', publishableScopes: [] },
        organizationId: null,
      },
      profile: presets.standard,
      name: 'demo key',
      kind: 'secret',
      environment: 'live',
      scopes: ['invoices:read'],
      expiresAt: null,
      createdBy: bySystem,
    },
    now,
  );
  const context = { accountId, actor: { ...bySystem, ip: null, user_agent: null }, requestId: null };
  await insertEvent(tx, context, {
    type: 'account.created',
    subject: { type: 'account', id: accountId },
    environment: 'live',
  });
  await insertEvent(tx, context, {
    type: 'issuer.created',
    subject: { type: 'issuer', id: issuerId },
    environment: 'live',
    issuerId,
  });
  await insertEvent(tx, context, {
    type: 'api-key.created',
    subject: { type: 'api_key', id: demo.row.id },
    environment: 'live',
    issuerId,
  });
  const bootstrap: Bootstrap = {
    base_url: settings.publicUrl,
    account_id: accountId,
    api_key: key,
    demo: { issuer_id: issuerId, api_key: { id: demo.row.id, secret: demo.secret } },
    dashboard_url: null,
  };
  // Left from another database, perhaps; the keys in it open nothing here.
  await rm(bootstrapPath(settings.dataDir), { force: true });
  await replaceSecretFile(bootstrapPath(settings.dataDir), bootstrap);
}
