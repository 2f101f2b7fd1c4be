import type { z } from 'zod';
import * as parsers from './settings/parsers.ts';
import { deriveMode, findUnsafeSettings, type Mode } from './settings/safety.ts';
import { SettingsError, type SettingsProblem } from './settings/settings-error.ts';

export { SettingsError } from './settings/settings-error.ts';

/** One row of the table of settings. */
export type SettingRow = {
  /** Name of the environment variable. */
  readonly variable: string;
  /** Name of its property in `Settings`. */
  readonly property: string;
  /** Text that stands in when the variable is unset or empty; `undefined` where there is none or it is derived. */
  readonly default: string | undefined;
  /** What the documents say of the default where it is not a fixed text. */
  readonly defaultNote?: string;
  /** Markdown of one paragraph, for the documents. */
  readonly description: string;
  /** From the variable's text to the property's value. */
  readonly parser: z.ZodType<unknown, string>;
  /** Checked and documented already, but nothing in this release uses it. */
  readonly isReserved?: true;
  /** A secret's text is never shown, not even when it is malformed. */
  readonly isSecret?: true;
};

/**
 * Every setting of the server, once. `docs/settings.md` is written from it (`scripts/settings-docs.ts`).
 */
export const settingsTable = [
  {
    variable: 'GATELODGE_HOST',
    property: 'host',
    default: '127.0.0.1',
    description: 'Address to listen on.',
    parser: parsers.listenHost,
  },
  {
    variable: 'GATELODGE_PORT',
    property: 'port',
    default: '4600',
    description: 'Port to listen on. One that is taken is an error at start.',
    parser: parsers.port,
  },
  {
    variable: 'GATELODGE_PUBLIC_URL',
    property: 'publicUrl',
    default: undefined,
    defaultNote: '`http://localhost:{port}`, `https` with `GATELODGE_TLS_CERT`',
    description:
      'Origin under which clients reach this server: the base of every issuer and link. Never taken from a request.',
    parser: parsers.origin,
  },
  {
    variable: 'GATELODGE_DASHBOARD_URL',
    property: 'dashboardUrl',
    default: undefined,
    defaultNote: 'the public URL',
    description: 'Origin of the dashboard. In production give it a host other than the public URL’s.',
    isReserved: true,
    parser: parsers.origin,
  },
  {
    variable: 'GATELODGE_SUPPORT_URL',
    property: 'supportUrl',
    default: undefined,
    description: 'Link that error pages show to people who need help (`https:` or `mailto:`).',
    isReserved: true,
    parser: parsers.link,
  },
  {
    variable: 'GATELODGE_DATA_DIR',
    property: 'dataDir',
    default: './data',
    description: 'Directory of the embedded Postgres, the ledger and generated secrets.',
    parser: parsers.path,
  },
  {
    variable: 'GATELODGE_TLS_CERT',
    property: 'tlsCert',
    default: undefined,
    description: 'Path of a PEM file with the certificate chain, to serve HTTPS directly.',
    parser: parsers.path,
  },
  {
    variable: 'GATELODGE_TLS_KEY',
    property: 'tlsKey',
    default: undefined,
    description: 'Path of a PEM file with the private key of that certificate.',
    parser: parsers.path,
  },
  {
    variable: 'DATABASE_URL',
    property: 'databaseUrl',
    default: undefined,
    defaultNote: 'an embedded Postgres',
    description:
      'Postgres 15 or later for the service. It must be a direct connection or a session pool: LISTEN does not work through a transaction pool.',
    parser: parsers.serviceUrl(['postgres', 'postgresql'], 'postgres://user:password@host:5432/gatelodge'),
    isSecret: true,
  },
  {
    variable: 'DATABASE_OWNER_URL',
    property: 'databaseOwnerUrl',
    default: undefined,
    defaultNote: '`DATABASE_URL`',
    description: 'Connection of the role that owns the schema, for migrations.',
    parser: parsers.serviceUrl(['postgres', 'postgresql'], 'postgres://owner:password@host:5432/gatelodge'),
    isSecret: true,
  },
  {
    variable: 'REDIS_URL',
    property: 'redisUrl',
    default: undefined,
    defaultNote: 'counters in memory, for one node',
    description: 'Valkey or Redis that several nodes share for their counters.',
    isReserved: true,
    parser: parsers.serviceUrl(['redis', 'rediss'], 'rediss://user:password@host:6379'),
    isSecret: true,
  },
  {
    variable: 'SMTP_URL',
    property: 'smtpUrl',
    default: undefined,
    defaultNote:
      'in development mails are kept for `/dev/mailbox`; in production none can be sent, and sign-in by e-mail answers 503',
    description:
      'Mail server for outgoing mail: `smtps://user:password@mail.example.com` is TLS from the start (port 465), `smtp://…` STARTTLS (port 587), without which nothing is sent. `?tls=none` sends in the clear, as is usual for a server on this machine; `?tls=required` asks STARTTLS of that one too.',
    parser: parsers.smtpServer,
    isSecret: true,
  },
  {
    variable: 'SMTP_CA_FILE',
    property: 'smtpCaFile',
    default: undefined,
    defaultNote: 'the usual authorities',
    description:
      'Path of a PEM file with the certificates of the authorities that the mail server’s certificate is checked against, instead of the usual ones.',
    parser: parsers.path,
  },
  {
    variable: 'MAIL_FROM',
    property: 'mailFrom',
    default: undefined,
    description:
      'Sender of outgoing mail, such as `Example <no-reply@example.com>`. Needed with `SMTP_URL`. An issuer may have mails of its own come from another name, never from another address.',
    parser: parsers.mailSender,
  },
  {
    variable: 'GATELODGE_MASTER_KEY',
    property: 'masterKey',
    default: undefined,
    defaultNote: 'generated into the data directory in development, required in production',
    description:
      'Key that wraps every secret in the database: 32 bytes in base64url. `gatelodge master-key generate` prints one. Without it the database cannot be read; keep a copy apart from the backups.',
    parser: parsers.keyText,
    isSecret: true,
  },
  {
    variable: 'GATELODGE_NEW_MASTER_KEY',
    property: 'newMasterKey',
    default: undefined,
    description:
      'Key that `gatelodge master-key rotate` changes to. A server that has both keys starts before and after that change, so set it on every node first.',
    parser: parsers.keyText,
    isSecret: true,
  },
  {
    variable: 'GATELODGE_MODE',
    property: 'mode',
    default: undefined,
    defaultNote: '`development` when the public URL is loopback and no proxy is trusted, else `production`',
    description:
      '`development` or `production`. Production has no development pages and refuses unsafe settings; development cannot be forced where the public URL is not this machine.',
    parser: parsers.oneOf(['development', 'production']),
  },
  {
    variable: 'GATELODGE_TRUSTED_PROXIES',
    property: 'trustedProxies',
    default: '',
    defaultNote: 'none',
    description: 'Networks (CIDR, divided by commas) of proxies whose forwarded headers count.',
    parser: parsers.networks,
  },
  {
    variable: 'GATELODGE_OUTBOUND_ALLOW',
    property: 'outboundAllow',
    default: '',
    defaultNote: 'none',
    description:
      'Networks (CIDR, divided by commas) that outbound calls may reach although they are private, and by plain http as well.',
    parser: parsers.networks,
  },
  {
    variable: 'GATELODGE_STALE_SECONDS',
    property: 'staleSeconds',
    default: '30',
    description:
      'Seconds for which a node cut off from Postgres goes on verifying keys it knows (0 to 3600; 0 = not at all).',
    parser: parsers.wholeNumber(0, 3600),
  },
  {
    variable: 'GATELODGE_SIGNUP',
    property: 'signup',
    default: 'closed',
    description:
      'Who may create an account: `closed` (operators only) or `open` (anyone with a mail address).',
    isReserved: true,
    parser: parsers.oneOf(['closed', 'open']),
  },
  {
    variable: 'GATELODGE_BOOTSTRAP_EMAIL',
    property: 'bootstrapEmail',
    default: 'owner@localhost',
    description: 'Owner of the first account, made at the first start.',
    parser: parsers.mailAddress,
  },
  {
    variable: 'GATELODGE_METRICS_TOKEN',
    property: 'metricsToken',
    default: undefined,
    defaultNote: 'generated into the data directory in development; in production `/metrics` is then 404',
    description: 'Bearer token that `GET /metrics` asks for (20 to 512 characters).',
    parser: parsers.token,
    isSecret: true,
  },
  {
    variable: 'GATELODGE_CACHE_KEYS',
    property: 'cacheKeys',
    default: '100000',
    description:
      'API keys that a node keeps in memory, about 400 bytes each; fewer where they take more than 1 KiB on average (100 to 50000000).',
    parser: parsers.wholeNumber(100, 50_000_000),
  },
  {
    variable: 'GATELODGE_DATABASE_POOL',
    property: 'databasePool',
    default: '10',
    description:
      'Postgres connections of one node for the management API (2 to 500); verifying keys takes up to 8 more, metering 2.',
    parser: parsers.wholeNumber(2, 500),
  },
  {
    variable: 'GATELODGE_LEDGER_KEEP_HOURS',
    property: 'ledgerKeepHours',
    default: '48',
    description:
      'Hours for which the ledger’s files are kept after all of them is in the database (0 to 8760). Keep them for longer than the interval between backups: a database that is restored gets back from them what was metered since.',
    parser: parsers.wholeNumber(0, 8760),
  },
  {
    variable: 'GATELODGE_SIGNING_KEY_DAYS',
    property: 'signingKeyDays',
    default: '90',
    description:
      'Days for which a signing key of an issuer signs before another takes its place (1 to 3650). Each can be rotated earlier by the API.',
    parser: parsers.wholeNumber(1, 3650),
  },
  {
    variable: 'GATELODGE_METERED_EVENT_DAYS',
    property: 'meteredEventDays',
    default: '30',
    description:
      'Days for which the events `api-key.verified` and `api-key.rejected` are kept (1 to 3650). Usage is kept apart from them.',
    parser: parsers.wholeNumber(1, 3650),
  },
  {
    variable: 'GATELODGE_LOG_LEVEL',
    property: 'logLevel',
    default: 'info',
    description:
      'Least level that is logged: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`.',
    parser: parsers.oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  },
] as const satisfies readonly SettingRow[];

/** Variables that are no setting of the server but of its command line and its SDKs. */
export const clientVariables = [
  { variable: 'GATELODGE_URL', description: 'Server that the command line and the SDKs talk to.' },
  { variable: 'GATELODGE_KEY_ID', description: 'Id of the API key that they sign in with.' },
  { variable: 'GATELODGE_KEY_SECRET', description: 'Secret of that API key.' },
  {
    variable: 'GATELODGE_NEW_MASTER_KEY',
    description:
      'Key that `gatelodge master-key rotate` changes to; `GATELODGE_MASTER_KEY` is the present one.',
  },
] as const;

type Row = (typeof settingsTable)[number];
type Optional<R extends Row> = R['default'] extends string ? never : undefined;
type Parsed = { [R in Row as R['property']]: z.output<R['parser']> | Optional<R> };

/** The server's settings, parsed, derived and found safe together. URLs have no trailing slash, paths are absolute. */
export type Settings = Readonly<
  Omit<Parsed, 'publicUrl' | 'dashboardUrl' | 'mode'> & {
    publicUrl: string;
    dashboardUrl: string;
    mode: Mode;
    /** `GATELODGE_*` variables that mean nothing to us, most likely misspelt: worth a warning in the log. */
    unknownVariables: readonly string[];
  }
>;

/**
 * Reads the settings from environment variables. An empty variable counts as unset.
 *
 * @throws SettingsError with every malformed variable or, when all are well formed, every unsafe combination.
 */
export function loadSettings(env: NodeJS.ProcessEnv): Settings {
  const problems: SettingsProblem[] = [];
  const values: Record<string, unknown> = {};
  for (const row of settingsTable as readonly SettingRow[]) {
    const text = env[row.variable]?.trim() || row.default;
    if (text === undefined) continue;
    const result = row.parser.safeParse(text);
    if (result.success) values[row.property] = result.data;
    else problems.push({ variable: row.variable, problem: describe(row, text, result.error) });
  }
  if (problems.length > 0) throw new SettingsError([...problems, ...unknownAsProblems(env)]);

  const settings = derive(values as Parsed);
  const unsafe = findUnsafeSettings(settings);
  if (unsafe.length > 0) throw new SettingsError([...unsafe, ...unknownAsProblems(env)]);
  return { ...settings, unknownVariables: findUnknown(env) };
}

function derive(parsed: Parsed): Omit<Settings, 'unknownVariables'> {
  const scheme = parsed.tlsCert === undefined ? 'http' : 'https';
  const publicUrl = parsed.publicUrl ?? new URL(`${scheme}://localhost:${parsed.port}`).origin;
  const mode = parsed.mode ?? deriveMode({ publicUrl, trustedProxies: parsed.trustedProxies });
  return { ...parsed, publicUrl, dashboardUrl: parsed.dashboardUrl ?? publicUrl, mode };
}

function describe(row: SettingRow, text: string, error: z.ZodError): string {
  const problem = error.issues.map((issue) => issue.message).join('; ');
  // A password or private key in the wrong variable is still one.
  if (row.isSecret || /:\/\/.*@|-----BEGIN/s.test(text)) return problem;
  return `${problem} (it is ${JSON.stringify(text.slice(0, 80))})`;
}

/** Told along with what is wrong: the right value may stand under a misspelt name. */
function unknownAsProblems(env: NodeJS.ProcessEnv): SettingsProblem[] {
  return findUnknown(env).map((variable) => ({ variable, problem: 'is not a setting; is it misspelt?' }));
}

function findUnknown(env: NodeJS.ProcessEnv): string[] {
  const known = new Set<string>([...settingsTable, ...clientVariables].map((row) => row.variable));
  return Object.keys(env)
    .filter((variable) => /^GATELODGE_(?!TEST_)/.test(variable) && !known.has(variable))
    .sort();
}
