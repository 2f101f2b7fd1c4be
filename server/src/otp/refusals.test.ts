import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { newAddress, SignIn, wrongCodes } from '../../test/harness/otp-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = server.operator;

// Everything here comes from one address, which may have 60 mails sent an hour.
beforeEach(() => clock.advance(3_600));

const operations = ['request-otp', 'verify-otp'] as const;
type Operation = (typeof operations)[number];

function bodyOf(operation: Operation, email: string): object {
  return operation === 'verify-otp' ? { email, otp: '123456' } : { email };
}

/** All that asking for a code or sending one may write; what metering does is apart. */
const written = [
  'mails',
  'otp_addresses',
  'login_budgets',
  'otp_mail_caps',
  'otp_failures',
  'otp_devices',
  'events',
  'users',
  'sessions',
  'refresh_tokens',
  'issuers',
  'signing_keys',
];
/** What a guess is counted in, and told by. */
const counted = ['otp_addresses', 'login_budgets', 'otp_failures', 'events'];

async function contentOf(tables: readonly string[]): Promise<Record<string, unknown>> {
  const content: Record<string, unknown> = {};
  for (const table of tables)
    content[table] = await rows.query(
      `select count(*)::int as count, md5(string_agg(t::text, '' order by t::text)) from ${table} t`,
    );
  return content;
}

/** Once the mails are sent that are waiting. */
async function settled(): Promise<void> {
  await expect.poll(() => rows.query('select from mails'), { timeout: 10_000, interval: 10 }).toEqual([]);
}

// Attack: whoever has no key, or one that may not be used like this, has something done in its owner's name all the same.
describe.each(operations)('%s, refused', (operation) => {
  const ask = (app: SignIn, headers = {}) => app.post(operation, bodyOf(operation, newAddress()), headers);

  test('for its key, writes nothing', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'otp' });
    const other = await TestIssuer.create(server, { preset: 'otp' });
    const suspended = await TestIssuer.create(server, { preset: 'otp' });
    const ofSuspended = await suspended.createKey();
    succeeded(await api.post(`${suspended.path}/suspend`));
    const key = await issuer.createKey();
    const limited = await issuer.createKey({ limits: [{ name: 'hour', limit: 1, window: 'hour' }] });
    const bound = await issuer.createKey({ restrictions: { origins: ['https://shop.example'] } });
    const sandboxBound = await issuer.createKey({
      environment: 'sandbox',
      restrictions: { browsers: 'deny' },
    });
    const [revoked, disabled] = [await issuer.createKey(), await issuer.createKey()];
    succeeded(await api.post(`${revoked.path}/revoke`));
    succeeded(await api.post(`${disabled.path}/disable`));
    await SignIn.withKey(server, limited).request(newAddress());
    await settled();

    const foreign = { Authorization: `Bearer ${(await other.createKey()).secret}` };
    const before = await contentOf(written);
    const evil = { Origin: 'https://evil.example' };
    const answers = [
      await ask(new SignIn(server, { headers: {} })),
      await ask(SignIn.withKey(server, { secret: `${key.secret.slice(0, -44)}${'0'.repeat(44)}` })),
      await ask(SignIn.withKey(server, revoked)),
      await ask(SignIn.withKey(server, disabled)),
      await ask(new SignIn(server, { headers: foreign, issuerId: issuer.id })),
      await send(`${server.url}/auth/${operation}?api_key=${key.secret}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(bodyOf(operation, newAddress())),
      }),
      await ask(SignIn.withKey(server, bound), evil),
      await ask(SignIn.withKey(server, sandboxBound), evil),
      await ask(SignIn.withKey(server, ofSuspended)),
      await ask(SignIn.withKey(server, limited)),
    ];
    const wait = answers.at(-1)!.headers['retry-after'];
    expect(answers.map(({ status, body }) => [status, body.error, body.code])).toEqual([
      [401, 'Missing API key', 'UNAUTHORIZED'],
      [401, 'Invalid API key', 'UNAUTHORIZED'],
      [401, 'API key has been revoked', 'UNAUTHORIZED'],
      [401, 'API key is disabled', 'UNAUTHORIZED'],
      [401, 'Invalid API key', 'UNAUTHORIZED'],
      [401, 'Ambiguous credentials', 'UNAUTHORIZED'],
      [403, 'Origin not allowed', 'FORBIDDEN'],
      [403, 'Origin not allowed', 'FORBIDDEN'],
      [403, 'Issuer is suspended', 'FORBIDDEN'],
      [429, `Rate limit exceeded. Try again in ${wait} seconds.`, 'RATE_LIMITED'],
    ]);
    expect(await contentOf(written)).toEqual(before);
  });
});

describe('sign-in’s own budgets', () => {
  test('that refuse a mail write nothing', async () => {
    const app = SignIn.withKey(
      server,
      await (await TestIssuer.create(server, { preset: 'otp' })).createKey(),
    );
    const email = newAddress();
    await app.request(email);
    await settled();
    const before = await contentOf(written);
    expect((await app.request(email)).status).toBe(429);
    expect(await contentOf(written)).toEqual(before);
  });

  test('count a wrong code and write nothing else; once they are used up, not even that', async () => {
    const app = SignIn.withKey(
      server,
      await (await TestIssuer.create(server, { preset: 'otp' })).createKey(),
    );
    const email = newAddress();
    const code = await app.code(email);
    await settled();
    const others = written.filter((name) => !counted.includes(name));
    const before = await contentOf(others);
    for (const wrong of wrongCodes(code, 5)) expect((await app.verify(email, wrong)).status).toBe(401);
    expect(await contentOf(others)).toEqual(before);
    const spent = await contentOf(written);
    for (const one of [code, wrongCodes(code, 1)[0]!])
      expect((await app.verify(email, one)).status).toBe(429);
    expect(await contentOf(written)).toEqual(spent);
  });
});

/*
 * Attack: an account's live key has users sign in at a sandbox issuer, where anybody with a sandbox key reads the codes:
 * the answer says LIVE, the live limits count it, and the token is one of the sandbox.
 */
describe('a key of the account at an issuer of the other environment', () => {
  test.each(operations)('%s: live is refused at a sandbox, and nothing is written', async (operation) => {
    const sandbox = await TestIssuer.create(server, { preset: 'otp' }, { environment: 'sandbox' });
    const { secret } = await createKey(api, '/v1/api-keys');
    const app = new SignIn(server, { headers: { 'X-OTP-API-Key': secret }, issuerId: sandbox.id });
    await settled();
    const before = await contentOf(written);
    const answer = await app.post(operation, bodyOf(operation, newAddress()));
    expect([answer.status, answer.text, answer.headers['x-environment']]).toEqual([
      403,
      '{"error":"Environment not allowed for this key","code":"FORBIDDEN"}',
      'LIVE',
    ]);
    expect(await contentOf(written)).toEqual(before);
  });

  test('sandbox signs in at a sandbox, and says so; of a live issuer it gets the twin', async () => {
    const { secret } = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
    for (const environment of ['sandbox', 'live']) {
      const issuer = await TestIssuer.create(server, { preset: 'otp' }, { environment });
      const app = new SignIn(server, { headers: { 'X-OTP-API-Key': secret }, issuerId: issuer.id });
      const email = newAddress();
      const answer = await app.verify(email, await app.code(email));
      const { environment: told } = JSON.parse(
        Buffer.from(answer.body.token.split('.')[1], 'base64url').toString(),
      );
      expect([answer.status, answer.headers['x-environment'], told]).toEqual([200, 'SANDBOX', 'sandbox']);
    }
  });
});
