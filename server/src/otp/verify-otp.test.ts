import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Needles } from '../../test/harness/needles.ts';
import { newAddress, SignIn, wrongCodes } from '../../test/harness/otp-client.ts';
import type { RawAnswer } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { otpLimits } from './otp-limits.ts';

const clock = new TestClock();
// As many at once as the attacks below send.
const server = await startTestServer({ clock, env: { GATELODGE_DATABASE_POOL: '20' } });
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
  app = SignIn.withKey(server, key);
});

// Everything here comes from one address, which may have 60 mails sent an hour.
beforeEach(() => clock.advance(3_600));

const invalid = (left: number) => ({
  error: `Invalid code. ${left} ${left === 1 ? 'attempt' : 'attempts'} left.`,
  code: 'INVALID_OTP',
  attempts_left: left,
});

function byStatus(answers: readonly RawAnswer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

describe('200', () => {
  test('signs in, and makes the user on the first success', async () => {
    const email = newAddress();
    const code = await app.code(email);
    const { result, events } = await rows.eventsOf(() => app.verify(email, code));
    expect(result.status).toBe(200);
    expect(result.body).toEqual({
      success: true,
      token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 600,
      refresh_token: expect.any(String),
      user: { id: expect.stringMatching(/^usr_/), email },
      device_token: expect.stringMatching(/^gld_/),
    });
    const { id } = result.body.user;
    expect(events.map(({ type }) => type).sort()).toEqual([
      'otp.verified',
      'session.created',
      'user.created',
    ]);
    expect(JSON.stringify(events)).not.toContain(email);
    expect(events.find(({ type }) => type === 'otp.verified')).toMatchObject({
      subject_type: 'otp_code',
      data: { user_id: id, session_id: expect.any(String) },
    });
    clock.advance(60);
    const again = await app.signIn(email);
    expect(again.user.id).toBe(id);
  });

  test('whatever somebody pastes around the digits, and however the address is spelled', async () => {
    const email = newAddress();
    const code = await app.code(email);
    const pasted = ` ${code.slice(0, 3)} ${code.slice(3)}\n`;
    expect((await app.verify(` ${email.toUpperCase()}`, pasted)).status).toBe(200);
  });

  test('on either path, for a code that was asked for on the other', async () => {
    const headers = { Authorization: `Bearer ${key.secret}` };
    const named = new SignIn(server, { headers, issuerId: issuer.id });
    const email = newAddress();
    expect((await named.verify(email, await app.code(email))).status).toBe(200);
    clock.advance(60);
    expect((await app.verify(email, await named.code(email))).status).toBe(200);
  });
});

describe('401', () => {
  test('for a wrong code, with the attempts that are left, and 429 after the fifth', async () => {
    const email = newAddress();
    const code = await app.code(email);
    for (const [index, wrong] of wrongCodes(code, 5).entries()) {
      const { status, body, headers } = await app.verify(email, wrong);
      expect([status, body]).toEqual([401, invalid(4 - index)]);
      expect(headers).toHaveProperty('www-authenticate');
    }
    for (const one of [code, wrongCodes(code, 1)[0]!]) {
      const { status, text, headers } = await app.verify(email, one);
      expect([status, text, headers['retry-after']]).toEqual([
        429,
        '{"error":"Rate limit exceeded. Try again in 600 seconds.","code":"RATE_LIMITED"}',
        '600',
      ]);
    }
    expect(await app.mailsTo(email)).toHaveLength(1);
  });

  test.each([
    [
      'nested',
      {
        error: {
          code: 'invalid_otp',
          message: 'Invalid code. 4 attempts left.',
          type: 'authentication_error',
          attempts_left: 4,
        },
      },
    ],
    [
      'problem',
      {
        status: 401,
        code: 'invalid_otp',
        title: 'Invalid code',
        detail: 'Invalid code. 4 attempts left.',
        attempts_left: 4,
      },
    ],
  ])('in the dialect %s', async (format, body) => {
    const own = await TestIssuer.create(server, { preset: 'standard', error_format: format });
    const answer = await SignIn.withKey(server, await own.createKey()).verify(newAddress(), '123456');
    expect([answer.status, answer.body]).toEqual([401, expect.objectContaining(body)]);
  });

  test('for a code that was used, replaced or has expired', async () => {
    const email = newAddress();
    const first = await app.code(email);
    clock.advance(60);
    const second = await app.code(email);
    expect((await app.verify(email, first)).status).toBe(first === second ? 200 : 401);
    expect((await app.verify(email, second)).status).toBe(200);
    expect((await app.verify(email, second)).body).toEqual(invalid(4));
    clock.advance(60);
    const third = await app.code(email);
    clock.advance(600);
    expect((await app.verify(email, third)).status).toBe(401);
  });

  test('for a user who has been suspended since, as for a wrong code', async () => {
    const email = newAddress();
    const { user } = await app.signIn(email);
    clock.advance(60);
    const code = await app.code(email);
    succeeded(await api.post(`${issuer.path}/users/${user.id}/suspend`));
    const { status, body } = await app.verify(email, code);
    expect([status, body]).toEqual([401, invalid(4)]);
  });

  test('for somebody new where sign-up has been switched off since, as for a wrong code', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp' });
    const ownApp = SignIn.withKey(server, await own.createKey());
    const email = newAddress();
    const code = await ownApp.code(email);
    succeeded(await api.patch(`${own.path}/login-settings`, { sign_up: false }));
    const { status, body } = await ownApp.verify(email, code);
    expect([status, body]).toEqual([401, invalid(4)]);
    expect((await api.get(`${own.path}/users`)).body.data).toEqual([]);
  });
});

describe('422', () => {
  test.each([
    [{}],
    [{ email: 'a@example.com' }],
    [{ email: 'a@example.com', otp: 123456 }],
    [{ email: 'a@example.com', otp: '12345' }],
    [{ email: 'a@example.com', otp: '123456789' }],
    [{ email: 'a@example.com', otp: '١٢٣٤٥٦' }],
    [{ email: 'a@example.com', otp: '123456', user: 'usr_1' }],
    [{ email: 'a@example.com', otp: '123456', device_token: 7 }],
  ])('for %j, which is no guess', async (body) => {
    const answer = await app.post('verify-otp', body);
    expect([answer.status, answer.body.code]).toEqual([422, 'INVALID_REQUEST']);
    const [row] = await rows.query<{ guesses: number }>(
      'select coalesce(sum(cardinality(guesses)), 0)::int as guesses from otp_addresses where guesses[1] = $1',
      [clock.now()],
    );
    expect(row!.guesses).toBe(0);
  });
});

/*
 * Attack: the same code is sent many times at once, so that it counts more than once.
 */
test('of 50 redemptions at once one signs in, again and again, and none fails', async () => {
  for (let round = 0; round < scaled(5, 100); round++) {
    clock.advance(3_600);
    const email = newAddress();
    const code = await app.code(email);
    const { result, events } = await rows.eventsOf(() =>
      Promise.all(Array.from({ length: 50 }, () => app.verify(email, code))),
    );
    const counts = byStatus(result);
    expect(counts[200]).toBe(1);
    expect((counts[401] ?? 0) + (counts[429] ?? 0)).toBe(49);
    for (const type of ['user.created', 'session.created', 'otp.verified'])
      expect(events.filter((event) => event.type === type)).toHaveLength(1);
  }
});

/*
 * Attack: guesses come at once, over both paths, from many addresses, with forged words about where they come from, by
 * another key, and over new codes: whatever is counted apart is a budget more.
 */
describe('guesses', () => {
  test('are counted exactly of 200 that come at once over every way in', async () => {
    const email = newAddress();
    const code = await app.code(email);
    const other = await issuer.createKey();
    const ways = [
      app,
      SignIn.withKey(server, other),
      new SignIn(server, { headers: { 'X-OTP-API-Key': key.secret }, issuerId: issuer.id }),
      new SignIn(server, { headers: { Authorization: `Bearer ${key.secret}` }, issuerId: issuer.id }),
    ];
    const wrong = wrongCodes(code, 200);
    const answers = await Promise.all(
      wrong.map((one, index) =>
        ways[index % ways.length]!.verify(index % 2 === 0 ? email : email.toUpperCase(), one, {
          headers: { 'X-Forwarded-For': `203.0.113.${index}`, 'User-Agent': `browser ${index}` },
        }),
      ),
    );
    expect(byStatus(answers)).toEqual({ 401: 5, 429: 195 });
    expect((await app.verify(email, code)).status).toBe(429);
  });

  test('are seven an hour of strangers over all codes, and asking for a new code resets nothing', async () => {
    const email = newAddress();
    let counted = 0;
    for (let round = 0; round < 3; round++) {
      const code = await app.code(email);
      for (const wrong of wrongCodes(code, 5)) {
        if ((await app.verify(email, wrong)).status === 401) counted++;
      }
      clock.advance(600);
    }
    expect(counted).toBe(otpLimits.guessesAnHour - otpLimits.keptAnHour);
    const refused = await app.verify(email, '123456');
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, String(3_600 - 1_800)]);
  });

  test('in one issuer neither count, use up nor lock in another', async () => {
    const other = await TestIssuer.create(server, { preset: 'otp' });
    const otherApp = SignIn.withKey(server, await other.createKey());
    const email = newAddress();
    const code = await app.code(email);
    const foreign = await Promise.all(
      [code, ...wrongCodes(code, 20)].map((one) => otherApp.verify(email, one)),
    );
    expect(byStatus(foreign)).toEqual({ 401: 5, 429: 16 });
    expect((await app.verify(email, code)).status).toBe(200);
  });

  // Vikunja CVE-2026-35597: the attempt was counted in the transaction that failed, so it never was.
  test('are counted where what comes after them fails', async () => {
    const email = newAddress();
    const code = await app.code(email);
    await rows.query('alter table sessions rename to sessions_away');
    try {
      for (let count = 0; count < 5; count++) expect((await app.verify(email, code)).status).toBe(500);
      expect((await app.verify(email, code)).status).toBe(429);
    } finally {
      await rows.query('alter table sessions_away rename to sessions');
    }
    expect((await app.verify(email, code)).status).toBe(429);
    const users = await api.get(`${issuer.path}/users?search=${email}`);
    expect(users.body.data).toEqual([]);
  });

  test('of an address that nobody has are answered as those of a user are', async () => {
    const known = newAddress('known');
    await api.create(`${issuer.path}/users`, { username: known });
    const transcript = async (email: string) => {
      const told: unknown[] = [];
      await app.request(email);
      for (let count = 0; count < 8; count++) {
        // No code has nine hundred thousands to one: neither of the two is this one but by a chance in a million.
        const { status, headers, headerNames, text } = await app.verify(email, '00000000');
        const {
          'x-request-id': _id,
          date: _date,
          'x-ratelimit-remaining': _r,
          ratelimit: _l,
          ...same
        } = headers;
        told.push({ status, same, headerNames, text });
      }
      return told;
    };
    expect(await transcript(newAddress('known'))).toEqual(await transcript(known));
  });
});

/*
 * Attack: a stranger guesses at somebody's codes, or asks for them, until there are no more, so that the owner stands
 * outside.
 */
describe('a device that has signed in', () => {
  test('gets in while strangers have used up everything of theirs', async () => {
    const email = newAddress();
    const { device_token: device } = await app.signIn(email);
    clock.advance(3_600);
    for (let round = 0; round < 5; round++) {
      await app.request(email);
      await Promise.all(wrongCodes('000000', 5).map((wrong) => app.verify(email, wrong)));
      clock.advance(60);
    }
    expect((await app.request(email)).status).toBe(429);
    expect((await app.verify(email, '123456')).status).toBe(429);
    const asking = { members: { device_token: device } };
    const code = await app.code(email, asking);
    expect((await app.verify(email, code)).status).toBe(429);
    const { status, body } = await app.verify(email, code, asking);
    expect([status, body.device_token]).toEqual([200, device]);
  });

  test('is known at this address of this issuer alone', async () => {
    const email = newAddress();
    const { device_token: device } = await app.signIn(email);
    const other = await TestIssuer.create(server, { preset: 'otp' });
    const otherApp = SignIn.withKey(server, await other.createKey());
    const asking = { members: { device_token: device } };
    for (const [asked, address] of [
      [otherApp, email],
      [app, newAddress()],
    ] as const) {
      const { device_token: fresh } = await asked.signIn(address, asking);
      expect(fresh).not.toBe(device);
    }
  });

  test('of a user whose address has changed is nothing to whoever has it next', async () => {
    const email = newAddress();
    const { device_token: device, user } = await app.signIn(email);
    succeeded(await api.patch(`${issuer.path}/users/${user.id}`, { username: newAddress('moved') }));
    clock.advance(60);
    const { device_token: fresh, user: next } = await app.signIn(email, {
      members: { device_token: device },
    });
    expect(next.id).not.toBe(user.id);
    expect(fresh).not.toBe(device);
  });

  test('of a user who was deleted is nothing to whoever has the address next', async () => {
    const email = newAddress();
    const { device_token: device, user } = await app.signIn(email);
    succeeded(await api.delete(`${issuer.path}/users/${user.id}`));
    clock.advance(60);
    const { device_token: fresh, user: next } = await app.signIn(email, {
      members: { device_token: device },
    });
    expect(next.id).not.toBe(user.id);
    expect(fresh).not.toBe(device);
  });
});

/*
 * Attack: addresses are made up and guessed at, so that each guess leaves an event and rows of its own.
 */
describe('a flood of guesses', () => {
  test('is one event an issuer, key and minute, which counts', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp' });
    const [one, other] = [await own.createKey(), await own.createKey()];
    const guess = (by: TestKey) =>
      SignIn.withKey(server, by).verify(newAddress(), '00000000', { headers: { 'User-Agent': 'spray/1' } });
    const { events } = await rows.eventsOf(async () => {
      await Promise.all(Array.from({ length: 50 }, () => guess(one)));
      await guess(other);
      clock.advance(60);
      await guess(one);
    });
    expect(events).toEqual([]);
    const told = async (filter: string) =>
      succeeded(await api.get(`/v1/events?type=otp.failed&issuer_id=${own.id}${filter}`)).body.data;
    const all = await told('');
    expect(
      all.map(({ actor, count }: { actor: { id: string }; count: number }) => [actor.id, count]),
    ).toEqual([
      [one.id, 1],
      [other.id, 1],
      [one.id, 50],
    ]);
    expect(all[0]).toMatchObject({
      environment: 'live',
      actor: { type: 'api_key', ip: '127.0.0.1', user_agent: 'spray/1' },
      subject: { type: 'issuer', id: own.id },
      request_id: expect.any(String),
      data: {},
      last_at: expect.any(String),
    });
    expect(JSON.stringify(all)).not.toContain('example.com');
    expect(await told(`&actor=${other.id}`)).toEqual([all[1]]);
    expect(await told(`&subject=${own.id}`)).toEqual(all);
    expect(await told(`&subject=${one.id}`)).toEqual([]);
    const page = succeeded(await api.get(`/v1/events?type=otp.failed&issuer_id=${own.id}&limit=2`)).body;
    expect(page.data).toEqual(all.slice(0, 2));
    expect(await told(`&cursor=${page.next_cursor}`)).toEqual(all.slice(2));
    // Whoever sees the issuer's events sees them among the others, and nobody else does.
    const reader = api.as(await own.createKey({ restrictions: { scopes: ['gatelodge.events:read'] } }));
    const seen = succeeded(await reader.get('/v1/events?limit=100')).body.data;
    expect(seen.filter(({ type }: { type: string }) => type === 'otp.failed')).toEqual(all);
    const stranger = await createCustomer(server);
    const theirs = await stranger.api.get(`/v1/events?type=otp.failed&issuer_id=${own.id}`);
    expect(succeeded(theirs).body.data).toEqual([]);
  });

  test('from one network is refused as any other, at known and unknown addresses alike, and writes nothing', async () => {
    const customer = await createCustomer(server);
    const own = await TestIssuer.create(server, { preset: 'otp' }, {}, customer.api);
    const flood = SignIn.withKey(server, await own.createKey());
    const known = newAddress();
    const { device_token: device } = await flood.signIn(known);
    const most = otpLimits.ipGuessesAnHour - otpLimits.ipGuessesKeptAnHour;
    await rows.query(
      `update login_budgets set takes = array_fill($1::timestamptz, array[$2::int]),
         public_takes = array_fill($1::timestamptz, array[$2::int]) where account_id = $3 and kind = 'guess'`,
      [clock.now(), most - 1, customer.id],
    );
    expect((await flood.verify(newAddress(), '00000000')).body).toEqual(invalid(0));
    const tables = ['otp_addresses', 'otp_failures', 'otp_failed_events', 'login_budgets'];
    const written = () =>
      Promise.all(
        tables.map((table) =>
          rows.query(`select t::text from ${table} t where account_id = $1`, [customer.id]),
        ),
      );
    const before = await written();
    for (const email of [known, newAddress()]) {
      const { status, text, headers } = await flood.verify(email, '00000000');
      expect([status, text, headers['retry-after']]).toEqual([
        429,
        '{"error":"Rate limit exceeded. Try again in 3600 seconds.","code":"RATE_LIMITED"}',
        '3600',
      ]);
    }
    expect(await written()).toEqual(before);
    clock.advance(60);
    const asking = { members: { device_token: device } };
    expect((await flood.verify(known, await flood.code(known, asking), asking)).status).toBe(200);
    // Another account's budget is another one.
    expect((await app.verify(newAddress(), '00000000')).status).toBe(401);
  });
});

/*
 * Attack: guesses are sprayed over thousands of addresses, a few at each, so that no budget of an address stops them.
 */
test('guesses that are sprayed over an issuer make its new codes longer, and nobody else’s', async () => {
  const sprayed = await TestIssuer.create(server, { preset: 'otp' });
  const target = SignIn.withKey(server, await sprayed.createKey());
  expect(await target.code(newAddress())).toHaveLength(6);
  const addresses = Array.from({ length: otpLimits.failuresBeforeLongCodes / 5 }, () => newAddress());
  for (const email of addresses)
    await Promise.all(wrongCodes('000000', 5).map((wrong) => target.verify(email, wrong)));
  expect(await target.code(newAddress())).toHaveLength(8);
  expect(await app.code(newAddress())).toHaveLength(6);
  clock.advance(3_600 + 300);
  expect(await target.code(newAddress())).toHaveLength(6);
});

// Attack: somebody has a copy of the database, and with it every code that is out.
test('the database holds no code and no token that could be used', async () => {
  const email = newAddress();
  const { device_token: device, refresh_token: refresh } = await app.signIn(email);
  clock.advance(60);
  const code = await app.code(newAddress());
  const needles = new Needles();
  needles.addSecret('device token', device);
  needles.addSecret('refresh token', refresh);
  const tables = await rows.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'gatelodge'::regnamespace and relkind = 'r'`,
  );
  for (const { name } of tables) {
    const [dump] = await rows.query<{ text: string | null }>(
      `select string_agg(t::text, E'\\n') as text from ${name} t`,
    );
    const text = dump!.text ?? '';
    expect(needles.findIn(Buffer.from(text), name)).toEqual([]);
    // Bytes in hexadecimal and fractions of seconds may hold the same digits by chance.
    expect(text, name).not.toMatch(new RegExp(`(?<![0-9a-z.])${code}(?![0-9a-z])`));
  }
});

test('an issuer that is deleted leaves nothing of its codes, guesses and devices', async () => {
  const doomed = await TestIssuer.create(server, { preset: 'otp' });
  const doomedApp = SignIn.withKey(server, await doomed.createKey());
  const email = newAddress();
  await doomedApp.signIn(email);
  await doomedApp.verify(email, '00000000');
  const left = async () => {
    const counts: Record<string, number> = {};
    for (const table of ['otp_addresses', 'otp_devices', 'otp_failures']) {
      const [row] = await rows.query<{ count: number }>(
        `select count(*)::int as count from ${table} where issuer_id = $1`,
        [doomed.id],
      );
      counts[table] = row!.count;
    }
    return counts;
  };
  expect(await left()).toEqual({ otp_addresses: 1, otp_devices: 1, otp_failures: 1 });
  succeeded(await api.delete(doomed.path));
  expect((await doomedApp.request(newAddress())).status).toBe(401);
  await vi.waitFor(
    async () => expect(await left()).toEqual({ otp_addresses: 0, otp_devices: 0, otp_failures: 0 }),
    {
      timeout: 10_000,
      interval: 20,
    },
  );
});

describe('a sandbox key', () => {
  test('signs the same address in as another user, under another issuer', async () => {
    const live = await TestIssuer.create(server, { preset: 'otp' });
    const liveApp = SignIn.withKey(server, await live.createKey());
    const sandboxKey = await live.createKey({ environment: 'sandbox' });
    const sandboxApp = SignIn.withKey(server, sandboxKey);
    const email = newAddress();
    const users = [await liveApp.signIn(email), await sandboxApp.signIn(email)];
    const { sandbox_issuer_id: twin } = (await api.get(live.path)).body.data;
    const [liveClaims, sandboxClaims] = users.map(({ token }) =>
      JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()),
    );
    expect(users[0].user.id).not.toBe(users[1].user.id);
    expect([liveClaims.iss, liveClaims.environment]).toEqual([`http://localhost:4600/${live.id}`, 'live']);
    expect([sandboxClaims.iss, sandboxClaims.environment]).toEqual([
      `http://localhost:4600/${twin}`,
      'sandbox',
    ]);
    // A code of the one is none of the other.
    clock.advance(60);
    const code = await sandboxApp.code(email);
    expect((await liveApp.verify(email, code)).status).toBe(401);
  });
});
