/**
 * Fills an issuer of a running installation with API keys, many and quickly; for benchmarks:
 *
 *     node scripts/generate-keys.ts --issuer i_… --keys 1000000 --hot 10000 --secrets FILE [--scope invoices:read]
 *
 * The keys are as real as those of the API: minted and digested by the same code, spread over the issuer's organizations
 * (its own where it has none). Only their events are missing. The secrets of `--hot` of them, spread evenly over all, go
 * to FILE (0600), one a line; nobody knows the others'. It finds the installation by the server's settings, as
 * `gatelodge secrets` does, and runs as its user.
 */
import { open } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import type pg from 'pg';
import { rotationDueAtOf } from '../server/src/api-keys/create-api-key.ts';
import { mintKeySecret } from '../server/src/api-keys/key-secret.ts';
import { nextNoticeAt } from '../server/src/api-keys/notices.ts';
import { withCommandPool } from '../server/src/cli/command-database.ts';
import { idPrefixes, newId } from '../server/src/ids/ids.ts';
import { type Environment, type KeyProfile, renderPrefix } from '../server/src/key-profiles/key-profile.ts';
import { Database } from '../server/src/postgres/database.ts';
import { callLookup } from '../server/src/postgres/lookup.ts';
import {
  type InstallationSecrets,
  loadInstallationSecrets,
} from '../server/src/secrets/installation-secrets.ts';
import { findMasterKey } from '../server/src/secrets/master-key-rotation.ts';
import { readSettings } from '../server/src/supervisor/read-settings.ts';
import type { IssuerRow } from '../server/src/verification/lookup-rows.ts';

/** Keys of one statement: so many that its round trip is nothing, so few that it ends within its time limit. */
const batchSize = 2_000;
/** While Postgres writes one batch, the next is minted. */
const batchesAtOnce = 2;

interface Options {
  issuerId: string;
  keys: number;
  hot: number;
  secretsFile: string | undefined;
  scopes: string[];
}

/** Where the keys go. */
interface Place {
  accountId: string;
  issuerId: string;
  environment: Environment;
  profile: KeyProfile;
  /** null: the issuer itself. */
  organizationIds: (string | null)[];
}

async function generateKeys(options: Options): Promise<void> {
  const settings = readSettings({ withEnvironmentFile: false });
  // Made first: a million keys later it would be late to find that it is there already.
  const file = options.secretsFile === undefined ? null : await open(options.secretsFile, 'wx', 0o600);
  await withCommandPool(settings, async (pool) => {
    const secrets = await loadInstallationSecrets(pool, await findMasterKey(settings));
    const database = new Database({ pool });
    const place = await findPlace(pool, database, options.issuerId);
    const minter = new Minter(place, secrets, options);
    const report = reporter(options.keys);
    const fill = async () => {
      for (let batch = minter.next(); batch !== null; batch = minter.next()) {
        await insertBatch(database, place, batch, options.scopes);
        report(batch.ids.length);
      }
    };
    await Promise.all(Array.from({ length: batchesAtOnce }, fill));
    await file?.writeFile(minter.hotSecrets.map((secret) => `${secret}\n`).join(''));
  });
  await file?.close();
}

/** What differs from key to key, a column each, as one statement takes them. */
interface Batch {
  ids: string[];
  organizationIds: (string | null)[];
  names: string[];
  hints: string[];
  digests: Buffer[];
  digestGeneration: number;
  checkGeneration: number;
}

/** Makes the keys, a batch at a time, until there are as many as were asked for. */
class Minter {
  /** Those that leave this process. */
  readonly hotSecrets: string[] = [];
  readonly #place: Place;
  readonly #secrets: InstallationSecrets;
  readonly #options: Options;
  #made = 0;

  constructor(place: Place, secrets: InstallationSecrets, options: Options) {
    this.#place = place;
    this.#secrets = secrets;
    this.#options = options;
  }

  next(): Batch | null {
    const count = Math.min(batchSize, this.#options.keys - this.#made);
    if (count === 0) return null;
    const digest = this.#secrets.current('api-key-digest');
    const check = this.#secrets.current('api-key-check');
    const input = {
      prefix: renderPrefix(this.#place.profile, 'secret', this.#place.environment),
      digest: { generation: digest.generation, key: digest.key.toString('hex') },
      check: { generation: check.generation, key: check.key },
    };
    const batch: Batch = {
      ids: [],
      organizationIds: [],
      names: [],
      hints: [],
      digests: [],
      digestGeneration: digest.generation,
      checkGeneration: check.generation,
    };
    for (let made = 0; made < count; made++) {
      const minted = mintKeySecret(input);
      batch.ids.push(newId(idPrefixes.apiKey));
      batch.organizationIds.push(this.#organizationOfNext(minted.secret));
      // Names of one length, so that answers about these keys have one length too.
      batch.names.push(`key ${String(this.#made).padStart(9, '0')}`);
      batch.hints.push(minted.hint);
      batch.digests.push(Buffer.from(minted.digest, 'hex'));
      this.#made++;
    }
    return batch;
  }

  /** The tenants take turns, among the hot keys as among the others. */
  #organizationOfNext(secret: string): string | null {
    const { organizationIds } = this.#place;
    const { keys, hot } = this.#options;
    const isHot = Math.floor(((this.#made + 1) * hot) / keys) > this.hotSecrets.length;
    const turn = isHot ? this.hotSecrets.length : this.#made - this.hotSecrets.length;
    if (isHot) this.hotSecrets.push(secret);
    return organizationIds[turn % organizationIds.length]!;
  }
}

async function insertBatch(database: Database, place: Place, batch: Batch, scopes: string[]): Promise<void> {
  const now = new Date();
  const rotationDueAt = rotationDueAtOf(now);
  const noticeAt = nextNoticeAt({ expires_at: null, rotation_due_at: rotationDueAt, rotated_at: null }, now);
  const createdBy = JSON.stringify({ type: 'system', id: 'generate-keys' });
  await database.withAccount(place.accountId, (tx) =>
    sql`
      insert into api_keys (id, account_id, issuer_id, organization_id, name, kind, environment, hint, digest,
        digest_generation, check_generation, scopes, created_by, rotation_due_at, next_notice_at, created_at, updated_at)
      select made.id, ${place.accountId}, ${place.issuerId}, made.organization_id, made.name, 'secret',
        ${place.environment}, made.hint, made.digest,
        ${batch.digestGeneration}::integer, ${batch.checkGeneration}::integer,
        ${scopes}::text[], ${createdBy}::jsonb, ${rotationDueAt}::timestamptz, ${noticeAt}::timestamptz,
        ${now}::timestamptz, ${now}::timestamptz
      from unnest(${batch.ids}::text[], ${batch.organizationIds}::text[], ${batch.names}::text[], ${batch.hints}::text[],
        ${batch.digests}::bytea[]) as made (id, organization_id, name, hint, digest)
    `.execute(tx),
  );
}

async function findPlace(pool: pg.Pool, database: Database, issuerId: string): Promise<Place> {
  const [issuer] = await callLookup<IssuerRow & pg.QueryResultRow>(pool, 'lookup_issuer', [issuerId]);
  if (issuer === undefined) throw new Error(`there is no issuer ${issuerId}`);
  const organizations = await database.withAccount(issuer.account_id, (tx) =>
    tx.selectFrom('organizations').select('id').where('issuer_id', '=', issuerId).orderBy('id').execute(),
  );
  return {
    accountId: issuer.account_id,
    issuerId,
    environment: issuer.environment,
    profile: issuer.profile,
    organizationIds: organizations.length === 0 ? [null] : organizations.map(({ id }) => id),
  };
}

/** Says on standard error how far it has come: at most once a second, and at the end. */
function reporter(all: number): (made: number) => void {
  const startedAt = performance.now();
  let done = 0;
  let toldAt = startedAt;
  return (made) => {
    done += made;
    const now = performance.now();
    if (now - toldAt < 1000 && done < all) return;
    toldAt = now;
    const perSecond = Math.round((done * 1000) / (now - startedAt));
    const [doneText, allText, rateText] = [done, all, perSecond].map((number) => number.toLocaleString('en'));
    process.stderr.write(`${doneText} of ${allText} keys, ${rateText} a second\n`);
  };
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      issuer: { type: 'string' },
      keys: { type: 'string' },
      hot: { type: 'string', default: '0' },
      secrets: { type: 'string' },
      scope: { type: 'string', multiple: true, default: [] },
    },
  });
  const keys = Number(values.keys);
  const hot = Number(values.hot);
  if (values.issuer === undefined) throw new Error('--issuer names the issuer to fill');
  if (!Number.isSafeInteger(keys) || keys < 1) throw new Error('--keys says how many, at least 1');
  if (!Number.isSafeInteger(hot) || hot < 0 || hot > keys) throw new Error('--hot is 0 to --keys');
  if (hot > 0 && values.secrets === undefined)
    throw new Error('--secrets names a file for those of --hot keys');
  return { issuerId: values.issuer, keys, hot, secretsFile: values.secrets, scopes: values.scope };
}

await generateKeys(readOptions());
