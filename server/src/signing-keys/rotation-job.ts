import { sql } from 'kysely';
import { insertEvent } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Settings } from '../settings.ts';
import { ensureSigningKey } from './ensure-signing-key.ts';
import { rotateSigningKey } from './rotate-signing-key.ts';
import { leadSeconds } from './signing-key.ts';
import { deleteExpiredKeys, findSigningKeys, type KeyOwner } from './signing-key-store.ts';

const everyMs = 60_000;
const issuersAtOnce = 100;
const dayMs = 86_400_000;

const actor = { type: 'system', id: 'signing-key-rotation', ip: null, user_agent: null } as const;

interface RotationJob {
  database: Database;
  secrets: InstallationSecrets;
  settings: Pick<Settings, 'signingKeyDays' | 'staleSeconds'>;
  log: Log;
  now: () => Date;
}

/** The job that rotates signing keys on schedule and takes away those whose time is over. */
export function createSigningKeyRotation(job: RotationJob): Periodic {
  return new Periodic({
    name: 'signing key rotation',
    everyMs,
    log: job.log,
    work: () => rotateDueSigningKeys(job),
  });
}

/**
 * One round of bounded length. What is due stands in the keys and moves on in the transaction that rotates, so each is
 * rotated once, on whichever node gets there first. Answers whether there may be more to do at once.
 */
export async function rotateDueSigningKeys(job: RotationJob): Promise<boolean> {
  const { database, secrets, settings, log, now } = job;
  const dueBefore = new Date(now().getTime() - settings.signingKeyDays * dayMs);
  const lookups = [
    sql<DueIssuer>`select issuer_id, account_id
      from lookup_signing_key_work(${now()}, ${dueBefore}, ${issuersAtOnce})`,
    sql<DueIssuer>`select issuer_id, account_id from lookup_issuers_without_signing_key(${issuersAtOnce})`,
  ] as const;
  let done = 0;
  // One issuer that fails must not keep the others waiting.
  const attempt = async (issuer: DueIssuer, work: (owner: KeyOwner) => Promise<boolean>) => {
    const owner = { accountId: issuer.account_id, issuerId: issuer.issuer_id };
    const isDone = await work(owner).catch((error: unknown) => {
      log.warn({ err: error, issuer_id: owner.issuerId }, 'The signing keys of an issuer were not seen to');
      return false;
    });
    if (isDone) done++;
  };
  const due = await lookups[0].execute(database.lookups);
  for (const issuer of due.rows) {
    await attempt(issuer, (owner) =>
      database.withAccount(owner.accountId, (tx) => seeTo(tx, owner, dueBefore, job)),
    );
  }
  const keyless = await lookups[1].execute(database.lookups);
  for (const issuer of keyless.rows)
    await attempt(issuer, (owner) => ensureSigningKey(database, secrets, owner, now()));
  return done > 0;
}

interface DueIssuer {
  issuer_id: string;
  account_id: string;
}

/** Answers whether it was there to be seen to. */
async function seeTo(
  tx: Transaction,
  owner: KeyOwner,
  dueBefore: Date,
  { secrets, settings, now }: RotationJob,
): Promise<boolean> {
  const issuer = await tx
    .selectFrom('issuers')
    .select(['id', 'environment'])
    .where('account_id', '=', owner.accountId)
    .where('id', '=', owner.issuerId)
    .where('deleting', '=', false)
    // Another node may be at it, or somebody is changing it: then the next round sees to it.
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (issuer === undefined) return false;
  const [newest] = await findSigningKeys(tx, owner);
  if (newest === undefined || newest.activates_at > dueBefore) {
    await deleteExpiredKeys(tx, owner, now());
    return true;
  }
  const context = { accountId: owner.accountId, actor, requestId: null };
  await rotateSigningKey(
    tx,
    { ...owner, environment: issuer.environment },
    {
      secrets,
      leadSeconds: leadSeconds(settings),
      now: now(),
      record: (event) => insertEvent(tx, context, event),
    },
  );
  return true;
}
