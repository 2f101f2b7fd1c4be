import type pg from 'pg';
import { createAccountDeletion } from './accounts/account-deletion.ts';
import { createKeyNotices } from './api-keys/notice-job.ts';
import { createQuietRetirement } from './api-keys/quiet-job.ts';
import { Authenticator } from './authentication/authenticator.ts';
import { createClientDeletion } from './clients/client-deletion.ts';
import { ClientDirectory } from './clients/client-directory.ts';
import { DiscoveryEndpoint } from './discovery/discovery.ts';
import type { RuntimeRoutes } from './edge/runtime-routes.ts';
import { ExposureNotes } from './exposure/exposure-notes.ts';
import { Metrics } from './health/metrics.ts';
import { createIdempotencyExpiry } from './http/idempotency-expiry.ts';
import { idPrefixes, newId } from './ids/ids.ts';
import { createIssuerDeletion } from './issuers/issuer-deletion.ts';
import type { Periodic } from './jobs/periodic.ts';
import { createLeakReportJob } from './leaks/leak-report-job.ts';
import { ReportLeakEndpoint } from './leaks/report-leak.ts';
import type { LedgerFold } from './ledger/fold.ts';
import { idHex } from './ledger/id-hex.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { LedgerFindings } from './ledger/ledger-findings.ts';
import { type Metering, openMetering } from './ledger/metering.ts';
import { createLedgerKeeping, createMeteringSweep } from './ledger/metering-jobs.ts';
import { AccountSlots, slotsByKind } from './limits/account-slots.ts';
import type { MemoryLimiter } from './limits/memory-limiter.ts';
import { ErrorPages } from './login/error-pages.ts';
import { loginRoutes } from './login/login.ts';
import type { Log } from './logs/log.ts';
import type { DevMailbox } from './mail/dev-mailbox.ts';
import type { MailOutbox } from './mail/mail-outbox.ts';
import { openMailing } from './mail/mailing.ts';
import { BackchannelLogout } from './oidc/backchannel-logout.ts';
import { IssuerSettings } from './oidc/issuer-settings.ts';
import { createOidc, type Oidc } from './oidc/oidc.ts';
import { createRecordSweep } from './oidc/record-sweep.ts';
import { createOrganizationSweep } from './organizations/organization-sweep.ts';
import { CodeSignIn } from './otp/code-sign-in.ts';
import { OtpCallers } from './otp/otp-callers.ts';
import { OtpPathRefusal } from './otp/otp-dialect.ts';
import { OtpDigests } from './otp/otp-digests.ts';
import { OtpEndpoint } from './otp/otp-endpoint.ts';
import { createOtpSweep } from './otp/otp-sweep.ts';
import { RequestOtp } from './otp/request-otp.ts';
import { SandboxTwins } from './otp/sandbox-twins.ts';
import { VerifyOtp } from './otp/verify-otp.ts';
import { OutboundClient, type OutboundOptions } from './outbound/outbound-client.ts';
import { type ChangeFeed, startChangeFeed } from './postgres/change-feed.ts';
import { Database } from './postgres/database.ts';
import { readInstallationId } from './postgres/installation.ts';
import { lookupStatementTimeoutMs } from './postgres/lookup.ts';
import { assertMigrated } from './postgres/migrated.ts';
import { assertServiceRole, createPool } from './postgres/pool.ts';
import { createRuntimeRoutes } from './runtime.ts';
import { type InstallationSecrets, loadInstallationSecrets } from './secrets/installation-secrets.ts';
import type { MasterKey } from './secrets/master-key.ts';
import { AccessSessions } from './sessions/access-sessions.ts';
import { AuthMeEndpoint, LogoutEndpoint, RefreshEndpoint, UserRefusal } from './sessions/auth-endpoints.ts';
import { createSessionEnds } from './sessions/session-ends.ts';
import { createSessionSweep } from './sessions/session-sweep.ts';
import { Sessions } from './sessions/sessions.ts';
import type { Settings } from './settings.ts';
import { JwksEndpoint } from './signing-keys/jwks.ts';
import { createSigningKeyRotation } from './signing-keys/rotation-job.ts';
import { SigningKeys } from './signing-keys/signing-keys.ts';
import { openDataDirectory } from './supervisor/data-directory.ts';
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
  /** Which names and certificates outbound calls trust instead of this machine’s; for tests. */
  outbound?: Pick<OutboundOptions, 'dnsServers' | 'ca'>;
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
  clients: ClientDirectory;
  imported: ImportedKeys;
  counters: DecisionCounters;
  metrics: Metrics;
  metricsToken: string | undefined;
  exposures: ExposureNotes;
  /** Where decisions are recorded, what limits them, and what brings them into the database. */
  ledger: Ledger;
  limiter: MemoryLimiter;
  fold: LedgerFold;
  findings: LedgerFindings;
  signingKeys: SigningKeys;
  sessions: Sessions;
  oidc: Oidc;
  /** Calls every URL that somebody else chose. */
  outbound: OutboundClient;
  /** Where mails are left to be sent. */
  mails: MailOutbox;
  /** null where there is a mail server, and in production. */
  devMailbox: DevMailbox | null;
  accountDeletion: Periodic;
  issuerDeletion: Periodic;
  organizationSweep: Periodic;
  backchannelLogout: BackchannelLogout;
  clientDeletion: Periodic;
  sessionEnds: Periodic;
  authenticator: Authenticator;
  meter: Meter;
  endpoints: {
    verify: VerifyEndpoint;
    verifyBatch: VerifyBatchEndpoint;
    me: MeEndpoint;
    authorize: AuthorizeEndpoint;
    reportLeak: ReportLeakEndpoint;
    runtime: RuntimeRoutes;
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
  const poolOf = (max: number, applicationName: string, statementTimeoutMs?: number) =>
    createPool({
      connectionString: databaseUrl,
      max,
      applicationName,
      log,
      ...(statementTimeoutMs !== undefined && { statementTimeoutMs }),
    });
  const pool = poolOf(settings.databasePool, 'gatelodge');
  const lookupPool = poolOf(lookupConnections, 'gatelodge look-ups', lookupStatementTimeoutMs);
  const meteringPool = poolOf(2, 'gatelodge metering');
  const endPools = () => Promise.all([pool.end(), lookupPool.end(), meteringPool.end()]);
  let metering: Metering | undefined;
  try {
    await assertServiceRole(pool);
    await assertMigrated(pool);
    const secrets = await loadInstallationSecrets(pool, masterKey);
    const nowMs = () => clock.nowMs();
    const replays = new Replays();
    const dataDirectory = await openDataDirectory(settings.dataDir);
    metering = await openMetering({
      pool: meteringPool,
      dataDir: dataDirectory.path,
      dataDirectoryId: dataDirectory.id,
      installationId: idHex(idPrefixes.installation, await readInstallationId(pool)),
      keepHours: settings.ledgerKeepHours,
      log,
      nowMs,
      replays,
    });
    const { ledger, limiter, fold } = metering;
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
    const clients = new ClientDirectory({ pool: lookupPool, cache, freshness, secrets, nowMs });
    const counters = new DecisionCounters();
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
    const signingKeys = new SigningKeys({
      settings,
      keys,
      cache,
      secrets,
      pool: lookupPool,
      database: background,
      log,
      nowMs,
    });
    const slots = slotsByKind(settings.databasePool);
    const accessSessions = new AccessSessions({ settings, signingKeys, keys, lookupPool, nowMs });
    const sessions = new Sessions({
      settings,
      signingKeys,
      secrets,
      keys,
      lookupPool,
      database,
      accountSlots: slots.users,
      nowMs,
    });
    const ofUsers = {
      sessions,
      accessSessions,
      database,
      accountSlots: slots.users,
      docsBaseUrl: settings.publicUrl,
    };
    const now = () => clock.now();
    const outbound = new OutboundClient({ allow: settings.outboundAllow, ...options.outbound });
    const mail = openMailing({ settings, database: background, secrets, log, now });
    const sessionEnds = createSessionEnds(background, log, now);
    const jobs = [
      createAccountDeletion(database, log),
      createIssuerDeletion(database, log),
      createOrganizationSweep(background, log),
      createClientDeletion(background, log, now),
      createIdempotencyExpiry(database, log),
      createKeyNotices(background, log, now),
      createQuietRetirement(background, fold, log, now),
      createSessionSweep(background, log, now),
      createSigningKeyRotation({ database: background, secrets, settings, log, now }),
      leakReports,
      mail.sweep,
      createOtpSweep(background, log, now),
      createRecordSweep(background, log, now),
      new BackchannelLogout({
        settings,
        database: background,
        keys,
        clients,
        signingKeys,
        outbound,
        log,
        now,
      }),
      createLedgerKeeping(metering.keeper, log),
      createMeteringSweep({ connection: meteringPool, nowMs, eventDays: settings.meteredEventDays }, log),
      sessionEnds,
    ] as const;
    for (const job of jobs) job.start();
    mail.delivery.start();
    fold.start();
    const meter = new Meter({ limiter, ledger, nowMs });
    const twins = new SandboxTwins({ database, accountSlots: slots.signIn, keys, secrets, now });
    const otpOf = {
      callers: new OtpCallers({ keys, counters, exposures, meter, twins, nowMs }),
      docsBaseUrl: settings.publicUrl,
    };
    const issuerSettings = new IssuerSettings(lookupPool);
    const errorPages = new ErrorPages({ settings, keys, issuerSettings, log });
    const oidc = createOidc({
      settings,
      secrets,
      signingKeys,
      database,
      lookupPool,
      accountSlots: slots.users,
      lookupSlots: new AccountSlots(lookupConnections),
      issuerSettings,
      errorPages,
      outbound,
      keys,
      clients,
      meter,
      log,
      now,
    });
    const digests = new OtpDigests(secrets);
    const requestOtp = new RequestOtp({
      database,
      accountSlots: slots.signIn,
      secrets,
      digests,
      mails: mail.outbox,
      twins,
      now,
    });
    const codes = new CodeSignIn({ pool, database, accountSlots: slots.signIn, secrets, digests, now });
    const verifyOtp = new VerifyOtp({ codes, sessions, signingKeys });
    const authenticator = new Authenticator(keys, exposures, meter, nowMs);
    const verifier = new Verifier({ keys, freshness, counters, exposures, meter, replays, nowMs });
    return {
      settings,
      log,
      clock,
      nodeId,
      pool,
      lookupPool,
      accountSlots: slots.management,
      database,
      secrets,
      cache,
      changeFeed,
      freshness,
      keys,
      clients,
      imported,
      counters,
      metrics: new Metrics({
        counters,
        freshness,
        cache,
        imported,
        exposures,
        reportLeak,
        mail,
        outbound,
        metering,
        pools: [pool, lookupPool, meteringPool],
      }),
      metricsToken: options.metricsToken,
      exposures,
      ledger,
      limiter,
      fold,
      findings: metering.findings,
      signingKeys,
      sessions,
      oidc,
      outbound,
      mails: mail.outbox,
      devMailbox: mail.devMailbox,
      accountDeletion: jobs[0],
      issuerDeletion: jobs[1],
      organizationSweep: jobs[2],
      backchannelLogout: jobs[13],
      clientDeletion: jobs[3],
      sessionEnds,
      authenticator,
      meter,
      endpoints: {
        verify: new VerifyEndpoint({ authenticator, verifier }),
        verifyBatch: new VerifyBatchEndpoint({ authenticator, verifier }),
        me: new MeEndpoint({ keys, accessSessions, counters, exposures, meter, nowMs }),
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
        runtime: createRuntimeRoutes({
          publicUrl: settings.publicUrl,
          requestOtp: new OtpEndpoint(otpOf, requestOtp),
          verifyOtp: new OtpEndpoint(otpOf, verifyOtp),
          refresh: new RefreshEndpoint(ofUsers),
          logout: new LogoutEndpoint(ofUsers),
          authMe: new AuthMeEndpoint(ofUsers),
          jwks: new JwksEndpoint(signingKeys),
          discovery: new DiscoveryEndpoint({ settings, keys, issuerSettings }),
          refusingApplication: (error) =>
            new OtpPathRefusal({ keys, docsBaseUrl: settings.publicUrl }, error),
          oidc: oidc.routes,
          login: loginRoutes({
            settings,
            secrets,
            interactions: oidc.interactions,
            requestOtp,
            codes,
            errorPages,
            hasDevMailbox: mail.devMailbox !== null,
            nowMs,
          }),
          refusingUser: (error) => new UserRefusal(error, settings.publicUrl),
          log,
        }),
      },
      close: async () => {
        outbound.close();
        for (const job of jobs) await job.close();
        await mail.delivery.close();
        await metering?.close();
        await exposures.close();
        await changeFeed.close();
        imported.close();
        freshness.close();
        await endPools();
      },
    };
  } catch (error) {
    await metering?.close().catch(() => {});
    await endPools();
    throw error;
  }
}
