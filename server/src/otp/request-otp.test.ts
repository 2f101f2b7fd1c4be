import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeIn, newAddress, SignIn } from '../../test/harness/otp-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { SqlLog } from '../../test/harness/sql-log.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { presetNames } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = server.operator;

let issuer: TestIssuer;
let key: TestKey;
let app: SignIn;
beforeAll(async () => {
  issuer = await TestIssuer.create(server, { preset: 'otp' });
  key = await issuer.createKey();
  app = new SignIn(server, { headers: { 'X-OTP-API-Key': key.secret } });
});

// Everything here comes from one address, which may have 60 mails sent an hour.
beforeEach(() => clock.advance(3_600));

/** Everything that asking for a code writes; what metering does is apart. */
async function written(): Promise<unknown> {
  const tables = [
    'mails',
    'otp_addresses',
    'login_budgets',
    'otp_mail_caps',
    'otp_failures',
    'events',
    'users',
  ];
  const content: Record<string, unknown> = {};
  for (const table of tables)
    content[table] = await rows.query(
      `select count(*)::int as count, md5(string_agg(t::text, '' order by t::text)) from ${table} t`,
    );
  return content;
}

describe('200', () => {
  test('mails a code and says when the next one may be asked for', async () => {
    const email = newAddress();
    const answer = await app.request(email);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      success: true,
      message: expect.any(String),
      expires_in: 600,
      resend_in: 60,
    });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      'x-environment': 'LIVE',
      'x-request-id': expect.any(String),
    });
    expect(await app.nextCode(email, 0)).toMatch(/^\d{6}$/);
  });

  test('tells it in an event that names no address', async () => {
    const email = newAddress('secretive');
    const { events } = await rows.eventsOf(() => app.request(email, { headers: { 'User-Agent': 'shop/1' } }));
    const told = events.filter(({ type }) => type.startsWith('otp.'));
    expect(told).toMatchObject([
      {
        type: 'otp.requested',
        issuer_id: issuer.id,
        environment: 'live',
        subject_type: 'otp_code',
        actor: { type: 'api_key', id: key.id, user_agent: 'shop/1' },
        data: { digits: 6, may_sign_in: true },
      },
    ]);
    expect(JSON.stringify(events)).not.toContain('secretive');
  });

  test('says in the event alone why nobody gets a mail', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp' });
    const asking = SignIn.withKey(server, await own.createKey());
    const causeOf = async (email: string) => {
      const { events } = await rows.eventsOf(() => asking.request(email));
      return events.find(({ type }) => type === 'otp.requested')?.data;
    };
    expect(await causeOf(newAddress())).toEqual({ digits: 6, may_sign_in: true, cause: null });
    const suspended = newAddress();
    const { id } = await own.api.create(`${own.path}/users`, { username: suspended });
    succeeded(await own.api.post(`${own.path}/users/${id}/suspend`));
    expect(await causeOf(suspended)).toMatchObject({ may_sign_in: false, cause: 'user_suspended' });
    succeeded(await own.api.patch(`${own.path}/login-settings`, { allowed_domains: ['acme.test'] }));
    expect(await causeOf(newAddress())).toMatchObject({ may_sign_in: false, cause: 'domain_not_allowed' });
    succeeded(await own.api.patch(`${own.path}/login-settings`, { sign_up: false }));
    expect(await causeOf(newAddress())).toMatchObject({ may_sign_in: false, cause: 'sign_up_off' });
  });

  test('to the address that the user has, however it was typed', async () => {
    const email = newAddress('Alice');
    await api.create(`${issuer.path}/users`, { username: email });
    expect((await app.request(email.toUpperCase())).status).toBe(200);
    expect(await app.nextCode(email, 0)).toMatch(/^\d{6}$/);
  });

  test('with the settings of the issuer', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp' });
    succeeded(await api.patch(`${own.path}/login-settings`, { code_length: 8, code_lifetime_seconds: 120 }));
    const ownApp = SignIn.withKey(server, await own.createKey());
    const email = newAddress();
    expect((await ownApp.request(email)).body).toMatchObject({ expires_in: 120 });
    expect(await ownApp.nextCode(email, 0)).toMatch(/^\d{8}$/);
  });

  test('with a key of an organization, and with a publishable key', async () => {
    const { id } = await issuer.createOrganization();
    for (const one of [await issuer.createKey({}, id), await issuer.createKey({ kind: 'publishable' })])
      expect((await SignIn.withKey(server, one).request(newAddress())).status).toBe(200);
  });

  test('with a JWT of the application beside the key', async () => {
    const jwt = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.eA';
    const answer = await app.request(newAddress(), { headers: { Authorization: `Bearer ${jwt}` } });
    expect(answer.status).toBe(200);
  });
});

describe('the key', () => {
  test.each(presetNames)('comes in the header of %s, and its profile speaks', async (preset) => {
    const one = await TestIssuer.create(server, { preset });
    const { secret } = await one.createKey();
    const header = presets[preset].key_headers.at(-1)!;
    const headers = { [header]: header === 'Authorization' ? `Bearer ${secret}` : secret };
    for (const issuerId of [undefined, one.id]) {
      const asking = new SignIn(server, { headers, ...(issuerId && { issuerId }) });
      expect((await asking.request(newAddress())).status).toBe(200);
      const refused = await asking.request('nobody');
      expect(refused.status).toBe(422);
      const message = 'email: must be an e-mail address, such as alice@example.com';
      const dialects = {
        flat: { error: message, code: 'INVALID_REQUEST' },
        nested: { error: { code: 'invalid_request', message, type: 'invalid_request_error' } },
        problem: expect.objectContaining({ code: 'invalid_request', status: 422, detail: message }),
      };
      expect(refused.body).toEqual(dialects[presets[preset].error_format]);
    }
  });

  test('comes in Authorization whatever the preset, by Bearer and by Basic', async () => {
    const basic = Buffer.from(`${key.id}:${key.secret}`).toString('base64');
    for (const authorization of [`Bearer ${key.secret}`, `Basic ${basic}`]) {
      const asking = new SignIn(server, { headers: { Authorization: authorization } });
      expect((await asking.request(newAddress())).status).toBe(200);
    }
  });

  test('comes in a header of the issuer’s own where the path names the issuer, and nowhere else', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp', key_headers: ['X-Shop-Key'] });
    const headers = { 'X-Shop-Key': (await own.createKey()).secret };
    expect((await new SignIn(server, { headers, issuerId: own.id }).request(newAddress())).status).toBe(200);
    const elsewhere = await new SignIn(server, { headers }).request(newAddress());
    expect([elsewhere.status, elsewhere.text]).toEqual([
      401,
      '{"error":"Missing API key","code":"UNAUTHORIZED"}',
    ]);
  });

  test('of the account takes the issuer from the path alone, and only one of its own', async () => {
    const { secret } = await createKey(api, '/v1/api-keys');
    const headers = { Authorization: `Bearer ${secret}` };
    expect((await new SignIn(server, { headers, issuerId: issuer.id }).request(newAddress())).status).toBe(
      200,
    );
    const nowhere = await new SignIn(server, { headers }).request(newAddress());
    expect([nowhere.status, nowhere.body.code]).toEqual([422, 'invalid_request']);
    const customer = await createCustomer(server);
    const theirs = await TestIssuer.create(server, {}, {}, customer.api);
    const elsewhere = await new SignIn(server, { headers, issuerId: theirs.id }).request(newAddress());
    expect([elsewhere.status, elsewhere.body]).toEqual([
      401,
      { error: 'Invalid API key', code: 'UNAUTHORIZED' },
    ]);
  });

  test('of the account does not get past a suspended issuer', async () => {
    const suspended = await TestIssuer.create(server);
    succeeded(await api.post(`${suspended.path}/suspend`));
    const { secret } = await createKey(api, '/v1/api-keys');
    const headers = { Authorization: `Bearer ${secret}` };
    const answer = await new SignIn(server, { headers, issuerId: suspended.id }).request(newAddress());
    expect([answer.status, answer.body.code]).toEqual([403, 'issuer_suspended']);
  });
});

describe('a refusal of the key', () => {
  const origins = ['https://shop.example'];

  // Attack: whoever has no key, or a stolen one that its owner has bound, has mails sent in the owner's name.
  test('queues no mail and writes no row', async () => {
    const limited = await issuer.createKey({ limits: [{ name: 'hour', limit: 1, window: 'hour' }] });
    const bound = await issuer.createKey({ kind: 'publishable', restrictions: { origins } });
    const revoked = await issuer.createKey();
    succeeded(await api.post(`${revoked.path}/revoke`));
    const other = await TestIssuer.create(server, { preset: 'otp' });
    const foreign = await other.createKey();
    await SignIn.withKey(server, limited).code(newAddress());
    // A mail is shown just before it is done with.
    await vi.waitFor(async () => expect(await rows.query('select from mails')).toHaveLength(0), {
      timeout: 10_000,
      interval: 10,
    });
    const forged = `${key.secret.slice(0, -44)}${'0'.repeat(44)}`;

    const before = await written();
    const email = newAddress();
    const refusals = [
      await new SignIn(server, { headers: {} }).request(email),
      await SignIn.withKey(server, { secret: forged }).request(email),
      await SignIn.withKey(server, revoked).request(email),
      await new SignIn(server, {
        headers: { 'X-OTP-API-Key': foreign.secret },
        issuerId: issuer.id,
      }).request(email),
      await SignIn.withKey(server, bound).request(email, { headers: { Origin: 'https://evil.example' } }),
      await SignIn.withKey(server, limited).request(email),
      await send(`${server.url}/auth/request-otp?api_key=${key.secret}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ email }),
      }),
    ];
    expect(refusals.map(({ status, text }) => [status, text])).toEqual([
      [401, '{"error":"Missing API key","code":"UNAUTHORIZED"}'],
      [401, '{"error":"Invalid API key","code":"UNAUTHORIZED"}'],
      [401, '{"error":"API key has been revoked","code":"UNAUTHORIZED"}'],
      [401, '{"error":"Invalid API key","code":"UNAUTHORIZED"}'],
      [403, '{"error":"Origin not allowed","code":"FORBIDDEN"}'],
      [
        429,
        expect.stringMatching(
          /^\{"error":"Rate limit exceeded\. Try again in \d+ seconds\.","code":"RATE_LIMITED"\}$/,
        ),
      ],
      [401, '{"error":"Ambiguous credentials","code":"UNAUTHORIZED"}'],
    ]);
    for (const { status, headers } of refusals)
      expect(headers['www-authenticate'] !== undefined).toBe(status === 401);
    expect(await written()).toEqual(before);
  });

  test('over a limit says when the same request passes', async () => {
    const limited = await issuer.createKey({ limits: [{ name: 'hour', limit: 1, window: 'hour' }] });
    const asking = SignIn.withKey(server, limited);
    const first = await asking.request(newAddress());
    expect(first.headers).toMatchObject({ 'x-ratelimit-limit': '1', 'x-ratelimit-remaining': '0' });
    const { status, headers, body } = await asking.request(newAddress());
    expect([status, body.error]).toEqual([
      429,
      `Rate limit exceeded. Try again in ${headers['retry-after']} seconds.`,
    ]);
  });

  test('can be read by a page on an origin that the key allows, and by no other', async () => {
    const bound = await issuer.createKey({ kind: 'publishable', restrictions: { origins } });
    const asking = SignIn.withKey(server, bound);
    const email = newAddress();
    for (const [origin, status, readable] of [
      [origins[0]!, 200, origins[0]],
      [origins[0]!, 429, origins[0]],
      ['https://evil.example', 403, undefined],
    ] as const) {
      const answer = await asking.request(email, { headers: { Origin: origin } });
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([status, readable]);
      expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    }
  });
});

describe('404', () => {
  test('for an issuer that there is none of, and for what is no id', async () => {
    for (const issuerId of ['i_0123456789abcdefghijklmno', 'i_1', 'nothing']) {
      const headers = { Authorization: `Bearer ${key.secret}` };
      const answer = await new SignIn(server, { headers, issuerId }).request(newAddress());
      expect([answer.status, answer.text.includes(issuerId)]).toEqual([404, false]);
    }
  });
});

test('405 with what is taken', async () => {
  for (const path of ['/auth/request-otp', `/${issuer.id}/auth/request-otp`]) {
    const answer = await send(server.url + path, { method: 'GET' });
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST, OPTIONS']);
    expect(answer.body.code).toBe('METHOD_NOT_ALLOWED');
  }
});

test('a wrong path or method is answered in the dialect of the key, where it is known', async () => {
  const nested = await (await TestIssuer.create(server, { preset: 'tenant-header' })).createKey();
  const problem = await (await TestIssuer.create(server, { preset: 'standard' })).createKey();
  const requests: [string, string, number, string][] = [
    ['GET', '/auth/request-otp', 405, 'method_not_allowed'],
    ['GET', '/auth/verify-otp', 405, 'method_not_allowed'],
    ['POST', '/i_0123456789abcdefghijklmno/auth/verify-otp', 404, 'not_found'],
    ['POST', '/i_1/auth/verify-otp', 404, 'not_found'],
  ];
  for (const [method, path, status, code] of requests) {
    const answerTo = async ({ secret }: { secret: string }) => {
      const headers = { Authorization: `Bearer ${secret}`, Origin: 'https://app.example' };
      const answer = await send(server.url + path, { method, headers });
      expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([
        status,
        'https://app.example',
      ]);
      return answer.body;
    };
    const flat = { error: expect.any(String), code: code.toUpperCase() };
    expect(await answerTo(key)).toEqual(flat);
    expect(await answerTo({ secret: 'gl_live_sk_unknown' })).toEqual(flat);
    expect(await answerTo(nested)).toEqual({
      error: { code, message: expect.any(String), type: 'invalid_request_error' },
    });
    expect(await answerTo(problem)).toMatchObject({ type: expect.any(String), status, code });
  }
});

describe('a body that is none', () => {
  test.each([
    [400, 'MALFORMED_JSON', '{', {}],
    [415, 'UNSUPPORTED_MEDIA_TYPE', 'email=a@example.com', { 'Content-Type': 'text/plain' }],
    [413, 'BODY_TOO_LARGE', JSON.stringify({ email: 'a'.repeat(300_000) }), {}],
    [422, 'INVALID_REQUEST', '[]', {}],
    [422, 'INVALID_REQUEST', '{}', {}],
    [422, 'INVALID_REQUEST', '{"email":null}', {}],
    [422, 'INVALID_REQUEST', '{"email":"a@example.com","user_id":"usr_1"}', {}],
    [422, 'INVALID_REQUEST', '{"email":"a@example.com\\r\\nBcc: b@example.com"}', {}],
  ])('is answered %i %s', async (status, code, body, headers) => {
    const answer = await app.post('request-otp', body, headers);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });
});

describe('429', () => {
  test('for another code within a minute', async () => {
    const email = newAddress();
    await app.code(email);
    clock.advance(15);
    const { status, text, headers } = await app.request(email);
    expect([status, text, headers['retry-after']]).toEqual([
      429,
      '{"error":"Rate limit exceeded. Try again in 45 seconds.","code":"RATE_LIMITED"}',
      '45',
    ]);
    expect(await app.mailsTo(email)).toHaveLength(1);
    clock.advance(45);
    expect((await app.request(email)).status).toBe(200);
  });
});

/*
 * Attack: whoever has a list of addresses asks which of them are users. Whatever an address is here, it is answered alike,
 * refusals included; only its owner sees whether a mail came.
 */
describe('known and unknown addresses', () => {
  async function transcript(asking: SignIn, email: string): Promise<unknown[]> {
    const told: unknown[] = [];
    for (let count = 0; count < 7; count++) {
      const { status, headers, headerNames, text } = await asking.request(email);
      const {
        'x-request-id': _id,
        date: _date,
        'x-ratelimit-remaining': _r,
        ratelimit: _l,
        ...same
      } = headers;
      told.push({ status, same, headerNames, text });
      if (count % 2 === 1) clock.advance(60);
    }
    return told;
  }

  test('are answered alike: users, suspended ones, those who may not sign up, and strangers', async () => {
    const closed = await TestIssuer.create(server, { preset: 'otp' });
    const asking = SignIn.withKey(server, await closed.createKey());
    const [known, suspended, unknown] = [newAddress('known'), newAddress('known'), newAddress('known')];
    await api.create(`${closed.path}/users`, { username: known });
    const { id } = await api.create(`${closed.path}/users`, { username: suspended });
    succeeded(await api.post(`${closed.path}/users/${id}/suspend`));
    const open = await transcript(asking, newAddress('known'));
    succeeded(await api.patch(`${closed.path}/login-settings`, { sign_up: false }));
    for (const email of [known, suspended, unknown]) expect(await transcript(asking, email)).toEqual(open);
    // The last of them is known to have been sent, so those before it would have been.
    await asking.nextCode(known, 0);
    clock.advance(3_600);
    await asking.code(known);
    expect([await asking.mailsTo(suspended), await asking.mailsTo(unknown)]).toEqual([[], []]);
  });

  test('a domain that may not sign up gets no mail, and no other answer', async () => {
    const closed = await TestIssuer.create(server, { preset: 'otp' });
    succeeded(await api.patch(`${closed.path}/login-settings`, { allowed_domains: ['acme.test'] }));
    const asking = SignIn.withKey(server, await closed.createKey());
    const outsider = newAddress();
    expect((await asking.request(outsider)).status).toBe(200);
    expect(await asking.code('alice@acme.test')).toMatch(/^\d{6}$/);
    expect(await asking.mailsTo(outsider)).toEqual([]);
  });
});

/*
 * Attack: somebody's own issuers use up what may be mailed to an address, so that the victim gets no code anywhere; or ask
 * again where nothing can be mailed, so that the code of the last mail is worth nothing.
 */
describe('mails to one address from many issuers', () => {
  async function own(settings = {}): Promise<SignIn> {
    const one = await TestIssuer.create(server, { preset: 'otp' });
    succeeded(await api.patch(`${one.path}/login-settings`, settings));
    return SignIn.withKey(server, await one.createKey());
  }

  test('that are withheld block nobody', async () => {
    const email = newAddress();
    for (let count = 0; count < 12; count++)
      expect((await (await own({ sign_up: false })).request(email)).status).toBe(200);
    expect(await app.code(email)).toMatch(/^\d{6}$/);
  });

  test('that are too many are answered as any, told as any, and leave the last code good', async () => {
    const email = newAddress();
    const code = await app.code(email);
    for (let count = 0; count < 9; count++) await (await own()).code(email);
    clock.advance(60);
    const { result, events } = await rows.eventsOf(() => app.request(email));
    expect(result.status).toBe(200);
    expect(events).toMatchObject([{ type: 'otp.requested', data: { digits: 6, may_sign_in: true } }]);
    expect((await app.verify(email, code)).status).toBe(200);
    expect(await app.mailsTo(email)).toHaveLength(10);
  });
});

/*
 * Attack: whoever measures how long an answer takes, after an address has had its mails of this hour, learns who has signed
 * in there, or who is a user: one of the two runs a statement more.
 */
test('a capped address runs the same statements, whoever it belongs to and whether or not it has had a code', async () => {
  const own = await TestIssuer.create(server, { preset: 'otp' });
  const asking = SignIn.withKey(server, await own.createKey());
  const emails = {
    signedIn: newAddress(),
    member: newAddress(),
    suspended: newAddress(),
    nobody: newAddress(),
    new: newAddress(),
  };
  await asking.signIn(emails.signedIn);
  await api.create(`${own.path}/users`, { username: emails.member });
  const { id } = await api.create(`${own.path}/users`, { username: emails.suspended });
  succeeded(await api.post(`${own.path}/users/${id}/suspend`));
  clock.advance(60);
  const other = SignIn.withKey(
    server,
    await (await TestIssuer.create(server, { preset: 'otp' })).createKey(),
  );
  for (const [who, email] of Object.entries(emails)) await (who === 'new' ? other : asking).request(email);
  clock.advance(60);
  await rows.query('update otp_mail_caps set takes = array_fill($1::timestamptz, array[10])', [clock.now()]);
  const sql = new SqlLog(server);
  const told: Record<string, unknown> = {};
  for (const signUp of [true, false]) {
    succeeded(await api.patch(`${own.path}/login-settings`, { sign_up: signUp }));
    for (const [who, email] of Object.entries(emails)) {
      sql.clear();
      expect((await asking.request(email)).status).toBe(200);
      told[`${who}, ${signUp}`] = sql.statements;
    }
    clock.advance(60);
  }
  sql.close();
  const [first, ...others] = Object.values(told);
  expect((first as string[]).length).toBeGreaterThan(8);
  for (const one of others) expect(one).toEqual(first);
});

// Attack: the Host of a request, or what a proxy is said to have seen, finds its way into the mail as a link.
test('nothing of what a request says about hosts is in the mail', async () => {
  const email = newAddress();
  const poison = 'evil.example';
  const answer = await app.request(email, {
    headers: {
      Host: poison,
      'X-Forwarded-Host': poison,
      'X-Forwarded-Proto': 'https',
      'X-Original-Host': poison,
      Forwarded: `host=${poison}`,
      Referer: `https://${poison}/`,
      'User-Agent': poison,
    },
  });
  expect(answer.status).toBe(200);
  await app.nextCode(email, 0);
  const [mail] = await app.mailsTo(email);
  expect(JSON.stringify(mail)).not.toContain(poison);
  expect(codeIn(mail!)).toMatch(/^\d{6}$/);
});

describe('a sandbox key of a live issuer', () => {
  test('runs against the sandbox twin, which is made once', async () => {
    const live = await TestIssuer.create(server, { preset: 'otp' });
    const sandboxKey = await live.createKey({ environment: 'sandbox' });
    const asking = SignIn.withKey(server, sandboxKey);
    const { result, events } = await rows.eventsOf(() =>
      Promise.all(Array.from({ length: 10 }, () => asking.request(newAddress()))),
    );
    expect(result.map(({ status, headers }) => [status, headers['x-environment']])).toEqual(
      Array(10).fill([200, 'SANDBOX']),
    );
    expect(events.filter(({ type }) => type === 'issuer.created')).toHaveLength(1);
    const { sandbox_issuer_id: twin } = (await api.get(live.path)).body.data;
    expect(twin).toMatch(/^i_/);
    expect(new Set(events.map(({ issuer_id }) => issuer_id))).toEqual(new Set([twin]));
    // The path may name either of the two.
    for (const issuerId of [live.id, twin]) {
      const headers = { 'X-OTP-API-Key': sandboxKey.secret };
      expect((await new SignIn(server, { headers, issuerId }).request(newAddress())).status).toBe(200);
    }
    const liveKey = await live.createKey();
    const crossed = new SignIn(server, { headers: { 'X-OTP-API-Key': liveKey.secret }, issuerId: twin });
    expect((await crossed.request(newAddress())).status).toBe(401);
  });

  // Attack: a sandbox key, whose mails reach nobody, uses up what live users may be mailed.
  test('takes nothing from the mails of live users', async () => {
    const live = await TestIssuer.create(server, { preset: 'otp' });
    const email = newAddress();
    const sandboxOf = async (one: TestIssuer) =>
      SignIn.withKey(server, await one.createKey({ environment: 'sandbox' }));
    for (let count = 0; count < 11; count++) {
      const one = await sandboxOf(await TestIssuer.create(server, { preset: 'otp' }));
      expect((await one.request(email)).status).toBe(200);
    }
    const asking = await sandboxOf(live);
    for (let count = 11; count < 60; count++) await asking.request(newAddress());
    expect((await asking.request(newAddress())).status).toBe(429);
    const before = (await app.mailsTo(email)).length;
    expect((await app.request(email)).status).toBe(200);
    expect(await app.nextCode(email, before)).toMatch(/^\d{6}$/);
  });

  test('makes no twin where a budget refuses it, nor for a guess, which is one at nobody’s code', async () => {
    const live = await TestIssuer.create(server, { preset: 'otp' });
    const other = await TestIssuer.create(server, { preset: 'otp' });
    const asking = SignIn.withKey(server, await other.createKey({ environment: 'sandbox' }));
    for (let count = 0; count < 60; count++) expect((await asking.request(newAddress())).status).toBe(200);
    const fresh = SignIn.withKey(server, await live.createKey({ environment: 'sandbox' }));
    const { events } = await rows.eventsOf(async () => {
      expect((await fresh.request(newAddress())).status).toBe(429);
      const { status, body } = await fresh.verify(newAddress(), '123456');
      expect([status, body]).toEqual([
        401,
        { error: 'Invalid code. 4 attempts left.', code: 'INVALID_OTP', attempts_left: 4 },
      ]);
    });
    expect(events).toEqual([]);
    expect((await api.get(live.path)).body.data.sandbox_issuer_id).toBeNull();
  });

  test('makes no twin where it is refused', async () => {
    const live = await TestIssuer.create(server, { preset: 'otp' });
    const bound = await live.createKey({
      environment: 'sandbox',
      restrictions: { origins: ['https://shop.example'] },
    });
    const asking = SignIn.withKey(server, bound);
    await asking.request(newAddress(), { headers: { Origin: 'https://evil.example' } });
    await asking.request('nobody');
    expect((await api.get(live.path)).body.data.sandbox_issuer_id).toBeNull();
  });
});
