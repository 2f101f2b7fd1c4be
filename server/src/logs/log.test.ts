import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog, type Log, serializeRequest } from './log.ts';
import { scrub } from './scrub.ts';

/** A log and the lines it has written. */
function recordingLog(): { log: Log; text: () => string; lines: () => Record<string, unknown>[] } {
  let text = '';
  const log = createLog('trace', {
    write: (line) => {
      text += line;
    },
  });
  const lines = () =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, text: () => text, lines };
}

const apiKey = `gl_live_sk_${'4Zq8Tn2wLx7cVb1mKj9hGf3dSa6pYr5eUi0o'}Ab3d`;
const canaries = {
  'an API key': apiKey,
  'an API key of another profile': `otp_sandbox_pk_${apiKey.slice(11)}`,
  'an API key without a kind': `mlm_live_${apiKey.slice(11)}`,
  'a master key': Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 37 + 11) % 256)).toString(
    'base64url',
  ),
  'a digest': randomBytes(32).toString('hex'),
  'a signing secret': 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  'a JWT': 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl',
};
const wrapped = {
  'a bearer header': ['Authorization: Bearer canary-4711.x', 'canary-4711'],
  'a Basic header': ['authorization: basic a2V5XzE6Y2FuYXJ5', 'a2V5XzE6Y2FuYXJ5'],
  'a database URL': ['connect to postgres://app:canary@db:5432/gatelodge failed', 'canary'],
  'a database URL with an unencoded password': ['postgresql://app:can@ry/canary@db/gatelodge', 'canary'],
  'an SMTP URL': ['smtps://mailer%40example.com:canary@mail.example.com', 'canary'],
  'a Redis URL without a user': ['rediss://:canary@cache:6379', 'canary'],
  'a connection string': ['host=db password=canary user=app', 'canary'],
  'a query': ['/v1/me?api_key=canary&x=1', 'canary'],
} as const;

describe('only named members are logged', () => {
  test('whatever else is passed, and their number is told', () => {
    const { log, text, lines } = recordingLog();
    log.info({ key_id: 'key_1', secret_plain: 'canary', headers: { authorization: 'canary' } }, 'made a key');
    expect(text()).not.toContain('canary');
    expect(lines()[0]).toMatchObject({ level: 'info', message: 'made a key', key_id: 'key_1', left_out: 2 });
  });

  // Attack: a secret as the name of a member, as when headers or a map by key are spread into a line.
  test('not even the names of the others', () => {
    const { log, text } = recordingLog();
    log.info({ canary: 1 }, 'x');
    expect(text()).not.toContain('canary');
  });

  test('also not inside of a named member', () => {
    const { log, text } = recordingLog();
    log.info(
      {
        reason: { toString: () => 'canary', canary: 1 },
        status: [{ canary: 1 }],
        code: new Map([['canary', 1]]),
      },
      'x',
    );
    expect(text()).not.toContain('canary');
  });

  test('also by child loggers', () => {
    const { log, text, lines } = recordingLog();
    log.child({ component: 'mail', password: 'canary' }).warn({ token: 'canary' }, 'x');
    expect(text()).not.toContain('canary');
    expect(lines()[0]).toMatchObject({ component: 'mail', left_out: 2 });
  });
});

describe('errors', () => {
  test('are logged by name, code, message and places, with their causes', () => {
    const { log, lines } = recordingLog();
    const cause = Object.assign(new TypeError('no such row'), { code: '23503' });
    log.error({ err: new Error('insert failed', { cause }) }, 'x');
    const err = lines()[0]?.err as { stack: string };
    expect(err).toMatchObject({
      name: 'Error',
      message: 'insert failed',
      cause: { name: 'TypeError', code: '23503' },
    });
    expect(err.stack).toMatch(/^ {4}at .*log\.test\.ts/);
  });

  // Attack: drivers hang the statement, its values and the whole connection (with its password) on an error.
  test('take none of their other members along', () => {
    const { log, text } = recordingLog();
    const error = Object.assign(new Error('duplicate key'), {
      detail: 'Key (digest)=(canary) already exists.',
      where: 'canary',
      parameters: ['canary'],
      client: { connectionParameters: { password: 'canary' } },
      errors: [new Error('canary')],
    });
    log.error(error);
    log.error({ err: error }, 'x');
    log.error({ err: new AggregateError([error], 'several') }, 'x');
    log.error({ err: 'canary' }, 'x');
    log.error({ err: { message: 'canary' } }, 'x');
    expect(text()).not.toContain('canary');
  });

  test('that are their own cause end', () => {
    const { log, lines } = recordingLog();
    const error = new Error('round');
    error.cause = error;
    log.error({ err: error }, 'x');
    expect(lines()).toHaveLength(1);
  });
});

describe('the second wall', () => {
  test.each(Object.entries(canaries))(
    'takes %s out of messages, members, errors and arguments',
    (_name, canary) => {
      const { log, text, lines } = recordingLog();
      const secretPart = canary.slice(-20);
      log.info(`called with ${canary}`);
      log.info({ reason: canary, request_id: canary, variables: ['x', canary] }, 'x');
      log.error(new Error(`"${canary}" is not known`, { cause: new Error(canary) }));
      log.warn('%s and %j', canary, { canary });
      expect(text()).not.toContain(secretPart);
      expect(lines()).toHaveLength(4);
    },
  );

  test.each(Object.entries(wrapped))('takes the secret out of %s', (_name, [sentence, secret]) => {
    const { log, text, lines } = recordingLog();
    log.info(sentence);
    log.error({ err: new Error(sentence) }, 'x');
    expect(text()).not.toContain(secret);
    expect(lines()).toHaveLength(2);
  });

  test('leaves ids, trace ids, names and addresses readable', () => {
    for (const harmless of [
      'key_0a1b2c3d4e5f6g7h8i9j0k1l2m',
      '4bf92f3577b34da6a3ce929d0e0e4736',
      '0192f0c1-7c3a-7b1e-8a3f-0123456789ab',
      'violates unique constraint "organizations_external_id_of_an_issuer_key"',
      'getaddrinfo ENOTFOUND database.production.internal.example',
      'at loadInstallationSecrets (file:///opt/Gatelodge/server/src/secrets/installation-secrets.ts:112:9)',
      'https://auth.example.com/path@2x',
    ]) {
      expect(scrub(harmless)).toBe(harmless);
    }
  });

  test('keeps every line one line of valid JSON', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.constantFrom(...Object.values(canaries)),
        (text, canary) => {
          const { log, lines } = recordingLog();
          log.info({ reason: `${text}${canary}"\\\n${text}` }, `${text}?token=${canary}`);
          expect(lines()).toHaveLength(1);
        },
      ),
    );
  });
});

describe('requests', () => {
  test('are told by route, outcome and ids', () => {
    const { log, lines } = recordingLog();
    log.info(
      serializeRequest({
        method: 'GET',
        routePattern: '/v1/issuers/:issuer_id',
        status: 200,
        durationMs: 1.23456,
        requestId: 'req_1',
        accountId: 'acc_1',
        keyId: 'key_1',
      }),
      'request',
    );
    expect(lines()[0]).toMatchObject({
      method: 'GET',
      route: '/v1/issuers/:issuer_id',
      status: 200,
      duration_ms: 1.235,
      request_id: 'req_1',
      account_id: 'acc_1',
      key_id: 'key_1',
    });
    expect(lines()[0]).not.toHaveProperty('left_out');
  });

  test('never show a query, and an unmatched URL not at all', () => {
    const request = { method: 'GET', status: 404, durationMs: 1, requestId: 'req_1' };
    expect(serializeRequest({ ...request, routePattern: '/v1/me?key=canary' }).route).toBe('/v1/me');
    expect(serializeRequest({ ...request, routePattern: undefined }).route).toBe('unknown');
  });
});

test('nothing below the level is written', () => {
  let text = '';
  const log = createLog('warn', {
    write: (line) => {
      text += line;
    },
  });
  log.info('quiet');
  expect(text).toBe('');
});
