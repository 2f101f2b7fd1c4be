import type pg from 'pg';
import { createAccountDeletion } from './accounts/account-deletion.ts';
import { createKeyNotices } from './api-keys/notice-job.ts';
import { Authenticator } from './authentication/authenticator.ts';
import { ExposureNotes } from './exposure/exposure-notes.ts';
import { Metrics } from './health/metrics.ts';
import { createIdempotencyExpiry } from './http/idempotency-expiry.ts';
import { idPrefixes, newId } from './ids/ids.ts';
import { createIssuerDeletion } from './issuers/issuer-deletion.ts';
import type { Periodic } from './jobs/periodic.ts';
import { createLeakReportJob } from './leaks/leak-report-job.ts';
import { ReportLeakEndpoint } from './leaks/report-leak.ts';
import { Ledger } from './ledger/ledger.ts';
import { AccountSlots } from './limits/account-slots.ts';
import { MemoryLimiter } from './limits/memory-limiter.ts';
import type { Log } from './logs/log.ts';
import { type ChangeFeed, startChangeFeed } from './postgres/change-feed.ts';
import { Database } from './postgres/database.ts';
import { assertMigrated } from './postgres/migrated.ts';
import { assertServiceRole, createPool } from './postgres/pool.ts';
import { type InstallationSecrets, loadInstallationSecrets } from './secrets/installation-secrets.ts';
import type { MasterKey } from './secrets/master-key.ts';
import type { Settings } from './settings.ts';
import { AuthorizeEndpoint } from './verification/authorize.ts';
import { DecisionCounters } from './verification/decision-counters.ts';
import { Freshness } from './verification/freshness.ts';
import { ImportedKeys } from './verification/imported-keys.ts';
import { KeyDirectory, lookupConnections } from './verification/key-directory.ts';
import { MeEndpoint } from './verification/me.ts';
import { Meter } from './verification/meter.ts';
import { RecordCache } from './verification/record-cache.ts';
import { Replays } from './verification/replays.ts';
import { Verifier } from './verification/verifier.ts';
import { VerifyEndpoint } from './verification/verify.ts';
import { VerifyBatchEndpoint } from './verification/verify-batch.ts';

/** Wall-clock time, so that tests can set it. */
export interface Clock {
  now(): Date;
  nowMs(): number;
}

export const systemClock: Clock = { now: () => new Date(), nowMs: () => Date.now() };

export interface ServiceOptions {
  /** Connection of the service's role. */
  databaseUrl: string;
  masterKey: MasterKey;
  /** Bearer token of `/metrics`; without one there is no such page. */
  metricsToken?: string | undefined;
  log: Log;
  clock?: Clock;
  /** Told the text of every statement that a transaction of the management API runs; for tests. */
  onQuery?: (sql: string) => void;
}

/** Everything a route may use. Made here and nowhere else. */
export interface Services {
  settings: Settings;
  log: Log;
  clock: Clock;
  nodeId: string;
  /** For the management API, through `database`. */
  pool: pg.Pool;
  /** For `keys` and `freshness`. */
  lookupPool: pg.Pool;
  accountSlots: AccountSlots;
  database: Database;
  secrets: InstallationSecrets;
  cache: RecordCache;
  changeFeed: ChangeFeed;
  freshness: Freshness;
  keys: KeyDirectory;
  imported: ImportedKeys;
  counters: DecisionCounters;
  metrics: Metrics;
  metricsToken: string | undefined;
  exposures: ExposureNotes;
  accountDeletion: Periodic;
  issuerDeletion: Periodic;
  authenticator: Authenticator;
  meter: Meter;
  endpoints: {
    verify: VerifyEndpoint;
    verifyBatch: VerifyBatchEndpoint;
    me: MeEndpoint;
    authorize: AuthorizeEndpoint;
    reportLeak: ReportLeakEndpoint;
  };
  close(): Promise<void>;
}

/**
 * Connects to a migrated database and builds the services on it.
 *
 * @throws StartError or MasterKeyError when the database is not one that this service may run on
 */
export async function createServices(settings: Settings, options: ServiceOptions): Promise<Services> {
  const { databaseUrl, masterKey, log } = options;
  const clock = options.clock ?? systemClock;
  const nodeId = newId(idPrefixes.node);
  const poolOf = (max: number, applicationName: string) =>
    createPool({ connectionString: databaseUrl, max, applicationName, log });
  const pool = poolOf(settings.databasePool, 'gatelodge');
  const lookupPool = poolOf(lookupConnections, 'gatelodge look-ups');
  const endPools = () => Promise.all([pool.end(), lookupPool.end()]);
  try {
    await assertServiceRole(pool);
    await assertMigrated(pool);
    const secrets = await loadInstallationSecrets(pool, masterKey);
    const cache = new RecordCache(settings.cacheKeys);
    const reloadSecrets = () => {
      secrets
        .reload()
        .catch((error: unknown) =>
          log.error({ err: error }, 'The installation secrets could not be read again'),
        );
    };
    const imported = new ImportedKeys({ pool: lookupPool, log });
    const changeFeed = startChangeFeed({
      connectionString: databaseUrl,
      nodeId,
      log,
      onChange: (change) => {
        if (change.kind === 'secrets') reloadSecrets();
        else if (change.kind === 'import') {
          cache.noteCreation(change.id);
          imported.onImport(change.id, change.account_id);
        } else cache.forget(change);
      },
      onReconnect: () => {
        cache.flush();
        imported.reload();
        reloadSecrets();
      },
    });
    const freshness = new Freshness({ pool: lookupPool, changeFeed, staleSeconds: settings.staleSeconds });
    const keys = new KeyDirectory({ pool: lookupPool, cache, freshness, secrets, imported });
    const counters = new DecisionCounters();
    const nowMs = () => clock.nowMs();
    const database = new Database({ pool, ...(options.onQuery && { onQuery: options.onQuery }) });
    // Nobody's requests run its statements.
    const background = new Database({ pool });
    const exposures = new ExposureNotes({ database: background, log, nowMs });
    exposures.start();
    const leakReports = createLeakReportJob({
      database: background,
      lookupPool,
      log,
      now: () => clock.now(),
      onRevoked: (digest) => cache.forget({ kind: 'api-key', digest: digest.toString('hex') }),
    });
    const reportLeak = new ReportLeakEndpoint({
      database,
      secrets,
      nowMs,
      onReport: () => leakReports.wake(),
    });
    const jobs = [
      createAccountDeletion(database, log),
      createIssuerDeletion(database, log),
      createIdempotencyExpiry(database, log),
      createKeyNotices(database, log, () => clock.now()),
      leakReports,
    ] as const;
    for (const job of jobs) job.start();
    const replays = new Replays();
    const limiter = new MemoryLimiter(nowMs);
    const ledger = await Ledger.open({
      directory: `${settings.dataDir}/ledger`,
      installationId: '0'.repeat(32),
      dataDirectoryId: '0'.repeat(32),
    });
    const meter = new Meter({ limiter, ledger, nowMs });
    const authenticator = new Authenticator(keys, exposures, meter, nowMs);
    const verifier = new Verifier({ keys, freshness, counters, exposures, meter, replays, nowMs });
    return {
      settings,
      log,
      clock,
      nodeId,
      pool,
      lookupPool,
      accountSlots: new AccountSlots(settings.databasePool),
      database,
      secrets,
      cache,
      changeFeed,
      freshness,
      keys,
      imported,
      counters,
      metrics: new Metrics({
        counters,
        freshness,
        cache,
        imported,
        exposures,
        reportLeak,
        pools: [pool, lookupPool],
      }),
      metricsToken: options.metricsToken,
      exposures,
      accountDeletion: jobs[0],
      issuerDeletion: jobs[1],
      authenticator,
      meter,
      endpoints: {
        verify: new VerifyEndpoint({ authenticator, verifier }),
        verifyBatch: new VerifyBatchEndpoint({ authenticator, verifier }),
        me: new MeEndpoint({ keys, counters, exposures, meter, nowMs }),
        reportLeak,
        authorize: new AuthorizeEndpoint({
          keys,
          freshness,
          counters,
          exposures,
          meter,
          nowMs,
          docsBaseUrl: settings.publicUrl,
        }),
      },
      close: async () => {
        for (const job of jobs) await job.close();
        await ledger.close();
        await exposures.close();
        await changeFeed.close();
        imported.close();
        freshness.close();
        await endPools();
      },
    };
  } catch (error) {
    await endPools();
    throw error;
  }
}
