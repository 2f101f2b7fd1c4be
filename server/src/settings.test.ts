import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { testCertificate } from '../test/harness/certificate.ts';
import { loadSettings, SettingsError, settingsTable } from './settings.ts';

const masterKey = 'Qh0_3nE0n5mWb1XkQ7oD2bq1wJ4m8m3pI9b0eX6cZ7U';
const production = { GATELODGE_PUBLIC_URL: 'https://auth.example.com', GATELODGE_MASTER_KEY: masterKey };

/** The variables that a bad environment is refused for, and the whole message. */
function refusal(env: NodeJS.ProcessEnv): { variables: string[]; message: string } {
  try {
    loadSettings(env);
  } catch (error) {
    if (error instanceof SettingsError) {
      return { variables: error.problems.map((problem) => problem.variable), message: error.message };
    }
    throw error;
  }
  throw new Error('the settings were accepted');
}

describe('an empty environment', () => {
  test('makes a development server on loopback', () => {
    expect(loadSettings({})).toEqual({
      host: '127.0.0.1',
      port: 4600,
      publicUrl: 'http://localhost:4600',
      dashboardUrl: 'http://localhost:4600',
      dataDir: resolve('data'),
      mode: 'development',
      trustedProxies: [],
      outboundAllow: [],
      staleSeconds: 30,
      signup: 'closed',
      bootstrapEmail: 'owner@localhost',
      cacheKeys: 100_000,
      databasePool: 10,
      ledgerKeepHours: 48,
      meteredEventDays: 30,
      signingKeyDays: 90,
      logLevel: 'info',
      unknownVariables: [],
    });
  });

  test('counts a variable set to nothing as unset', () => {
    expect(loadSettings({ GATELODGE_PORT: '', DATABASE_URL: ' ', GATELODGE_MASTER_KEY: '' })).toEqual(
      loadSettings({}),
    );
  });
});

describe('public URL', () => {
  test('is derived from the port, and is https where the server ends TLS itself', () => {
    expect(loadSettings({ GATELODGE_PORT: '8080' }).publicUrl).toBe('http://localhost:8080');
    expect(
      loadSettings({ GATELODGE_PORT: '443', GATELODGE_TLS_CERT: 'c.pem', GATELODGE_TLS_KEY: 'k.pem' })
        .publicUrl,
    ).toBe('https://localhost');
  });

  test('never ends in a slash and is in canonical form', () => {
    const settings = loadSettings({ ...production, GATELODGE_PUBLIC_URL: 'https://Auth.Example.COM:443/' });
    expect(settings.publicUrl).toBe('https://auth.example.com');
    expect(settings.dashboardUrl).toBe('https://auth.example.com');
  });

  test.each([
    'auth.example.com',
    'ftp://a.example',
    'https://a.example/base',
    'https://a.example/?q',
    'https://a.example/#f',
    '//a',
  ])('refuses %s', (url) =>
    expect(refusal({ ...production, GATELODGE_PUBLIC_URL: url }).variables).toEqual(['GATELODGE_PUBLIC_URL']),
  );

  test('must be given where the port is left to the system', () => {
    expect(refusal({ GATELODGE_PORT: '0' }).variables).toEqual(['GATELODGE_PUBLIC_URL']);
    expect(loadSettings({ GATELODGE_PORT: '0', GATELODGE_PUBLIC_URL: 'http://localhost:4600' }).port).toBe(0);
  });
});

describe('mode', () => {
  test.each(['http://localhost:4600', 'http://127.8.9.1:4600', 'http://[::1]:4600', 'https://app.localhost'])(
    'is development on %s',
    (url) => expect(loadSettings({ GATELODGE_PUBLIC_URL: url }).mode).toBe('development'),
  );

  test.each([
    'https://auth.example.com',
    'https://localhost.example.com',
    'https://127.0.0.1.example.com',
    'https://10.0.0.1',
    'https://0.0.0.0',
    'https://[::ffff:7f00:1]',
  ])('is production on %s', (url) =>
    expect(loadSettings({ ...production, GATELODGE_PUBLIC_URL: url }).mode).toBe('production'),
  );

  test('is production on loopback behind a trusted proxy', () => {
    const env = { GATELODGE_MASTER_KEY: masterKey, GATELODGE_TRUSTED_PROXIES: '127.0.0.1' };
    expect(loadSettings(env).mode).toBe('production');
  });

  // Attack: an operator copies GATELODGE_MODE=development to a public host, where /dev/mailbox then shows sign-in codes.
  test('cannot be forced to development on a public URL or behind a proxy', () => {
    expect(refusal({ ...production, GATELODGE_MODE: 'development' }).variables).toEqual(['GATELODGE_MODE']);
    expect(
      refusal({ GATELODGE_MODE: 'development', GATELODGE_TRUSTED_PROXIES: '10.0.0.0/8' }).variables,
    ).toEqual(['GATELODGE_MODE']);
  });

  test('can be forced to production on loopback', () => {
    expect(loadSettings({ GATELODGE_MODE: 'production', GATELODGE_MASTER_KEY: masterKey }).mode).toBe(
      'production',
    );
  });
});

describe('production refuses', () => {
  test('to start without a master key, or with a placeholder', () => {
    expect(refusal({ GATELODGE_MODE: 'production' }).variables).toEqual(['GATELODGE_MASTER_KEY']);
    const placeholder = Buffer.alloc(32).toString('base64url');
    expect(refusal({ ...production, GATELODGE_NEW_MASTER_KEY: placeholder }).variables).toEqual([
      'GATELODGE_NEW_MASTER_KEY',
    ]);
    expect(refusal({ ...production, GATELODGE_MASTER_KEY: placeholder }).variables).toEqual([
      'GATELODGE_MASTER_KEY',
    ]);
  });

  test('plain http on a public host', () => {
    expect(refusal({ ...production, GATELODGE_PUBLIC_URL: 'http://auth.example.com' }).variables).toEqual([
      'GATELODGE_PUBLIC_URL',
      'GATELODGE_DASHBOARD_URL',
    ]);
  });

  test('a mail password that everybody in between could read', () => {
    const mail = { ...production, MAIL_FROM: 'no-reply@example.com' };
    const url = 'smtp://user:canary@mail.example.com';
    const { variables, message } = refusal({ ...mail, SMTP_URL: `${url}?tls=none` });
    expect(variables).toEqual(['SMTP_URL']);
    expect(message).not.toContain('canary');
    for (const allowed of [url, 'smtp://mail.example.com?tls=none', 'smtp://user:canary@localhost?tls=none'])
      expect(loadSettings({ ...mail, SMTP_URL: allowed }).smtpUrl).toBeDefined();
  });

  test('lists of networks that name every address', () => {
    const env = {
      ...production,
      GATELODGE_TRUSTED_PROXIES: '0.0.0.0/0',
      GATELODGE_OUTBOUND_ALLOW: '10.0.0.0/8, ::/0',
    };
    expect(refusal(env).variables).toEqual(['GATELODGE_TRUSTED_PROXIES', 'GATELODGE_OUTBOUND_ALLOW']);
  });
});

describe('settings that need each other', () => {
  test.each([
    [{ GATELODGE_TLS_CERT: 'c.pem' }, 'GATELODGE_TLS_KEY'],
    [{ GATELODGE_TLS_KEY: 'k.pem' }, 'GATELODGE_TLS_CERT'],
    [{ DATABASE_OWNER_URL: 'postgres://o@db/g' }, 'DATABASE_URL'],
    [{ SMTP_URL: 'smtp://localhost:2525' }, 'MAIL_FROM'],
  ])('%o is refused alone', (env, variable) => expect(refusal(env).variables).toEqual([variable]));
});

test('a file of authorities is refused without a mail server', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'gatelodge-settings-'));
  const file = join(directory, 'ca.pem');
  await writeFile(file, testCertificate.cert);
  expect(refusal({ SMTP_CA_FILE: file }).variables).toEqual(['SMTP_URL']);
  await rm(directory, { recursive: true });
});

describe('single values', () => {
  test.each([
    ['GATELODGE_PORT', '65536'],
    ['GATELODGE_PORT', '-1'],
    ['GATELODGE_PORT', '4600.5'],
    ['GATELODGE_PORT', '0x1'],
    ['GATELODGE_PORT', 'tcp://10.0.0.1:4600'],
    ['GATELODGE_HOST', 'a b'],
    ['GATELODGE_STALE_SECONDS', '3601'],
    ['GATELODGE_STALE_SECONDS', '1e3'],
    ['GATELODGE_SIGNUP', 'yes'],
    ['GATELODGE_LOG_LEVEL', 'loud'],
    ['GATELODGE_MODE', 'dev'],
    ['GATELODGE_BOOTSTRAP_EMAIL', 'owner'],
    ['MAIL_FROM', 'Example <no-reply@example.com>\r\nBcc: x@example.com'],
    ['SMTP_URL', 'smtp://mail.example.com?tls=optional'],
    ['SMTP_URL', 'smtp://mail.example.com?tls.rejectUnauthorized=false'],
    ['SMTP_CA_FILE', '/nowhere/ca.pem'],
    ['SMTP_CA_FILE', '/etc/hostname'],
    ['GATELODGE_METRICS_TOKEN', 'short'],
    ['GATELODGE_CACHE_KEYS', '0'],
    ['GATELODGE_DATABASE_POOL', '1'],
    ['GATELODGE_SUPPORT_URL', 'javascript:alert(1)'],
    ['GATELODGE_TLS_KEY', '-----BEGIN PRIVATE KEY-----'],
    ['DATABASE_URL', 'mysql://localhost/g'],
    ['DATABASE_URL', 'postgres://user:p/ss@host/g'],
    ['REDIS_URL', 'localhost:6379'],
    ['GATELODGE_MASTER_KEY', 'c2hvcnQ'],
    ['GATELODGE_MASTER_KEY', `${masterKey}=`],
    ['GATELODGE_TRUSTED_PROXIES', '10.0.0.1/8'],
    ['GATELODGE_TRUSTED_PROXIES', '10.1'],
    ['GATELODGE_TRUSTED_PROXIES', '010.0.0.0/8'],
    ['GATELODGE_TRUSTED_PROXIES', '10.0.0.0/33'],
    ['GATELODGE_TRUSTED_PROXIES', '10.0.0.0/'],
    ['GATELODGE_TRUSTED_PROXIES', '::ffff:10.0.0.0/104'],
    ['GATELODGE_TRUSTED_PROXIES', 'fe80::1%eth0'],
    ['GATELODGE_OUTBOUND_ALLOW', 'internal.example.com'],
  ])('%s=%s is refused', (variable, value) =>
    expect(refusal({ [variable]: value }).variables).toContain(variable),
  );

  test('accepts the spellings of a Postgres connection', () => {
    for (const url of [
      'postgres://app:p%40ss@db.example.com:5432/gatelodge?sslmode=verify-full',
      'postgresql://app@/gatelodge?host=/run/postgresql',
      'postgres://app@%2Frun%2Fpostgresql/gatelodge',
    ]) {
      expect(loadSettings({ DATABASE_URL: url }).databaseUrl).toBe(url);
    }
  });

  test('brings networks into canonical form', () => {
    const env = { ...production, GATELODGE_TRUSTED_PROXIES: '10.0.0.0/8,192.0.2.7 2001:DB8:0::/32' };
    expect(loadSettings(env).trustedProxies).toEqual(['10.0.0.0/8', '192.0.2.7/32', '2001:db8::/32']);
  });

  test('every text is either accepted or refused by SettingsError, never another error', () => {
    const variables = settingsTable.map((row) => row.variable);
    fc.assert(
      fc.property(fc.constantFrom(...variables), fc.string({ unit: 'binary' }), (variable, text) => {
        try {
          loadSettings({ [variable]: text });
        } catch (error) {
          expect(error).toBeInstanceOf(SettingsError);
        }
      }),
    );
  });
});

describe('the refusal', () => {
  test('lists every malformed variable at once, with the text of those that are no secret', () => {
    const { variables, message } = refusal({
      GATELODGE_PORT: 'http',
      GATELODGE_SIGNUP: 'maybe',
      MAIL_FROM: 'nobody',
    });
    expect(variables).toEqual(['GATELODGE_PORT', 'MAIL_FROM', 'GATELODGE_SIGNUP']);
    expect(message).toContain('GATELODGE_PORT must be a port number of 1 to 65535 (it is "http")');
  });

  // Attack: start-up logs are shipped to a log service; a malformed secret in them is a leaked secret.
  test('never repeats a secret, whichever variable it was put into', () => {
    const canary = 'canary-7f3a';
    for (const row of settingsTable) {
      const texts = [
        `https://user:${canary}@host/path`,
        ...('isSecret' in row ? [`not a value ${canary}`] : []),
      ];
      for (const text of texts) {
        try {
          loadSettings({ [row.variable]: text });
        } catch (error) {
          expect(String(error), row.variable).not.toContain(canary);
        }
      }
    }
  });
});

test('misspelt variables are reported, those of the command line and the SDKs are not', () => {
  const env = {
    GATELODGE_PROT: '1',
    GATELODGE_URL: 'http://localhost:4600',
    OTHER: 'x',
    GATELODGE_TEST_SCALE: 'soak',
  };
  expect(loadSettings(env).unknownVariables).toEqual(['GATELODGE_PROT']);
});
