import { SignJWT } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { accessTokenType } from '../tokens/jwt.ts';
import { builtInClientId } from './built-in-client.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
const { id: accountId, api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const nobody = api.as(null);
const issuerUrl = `${services.settings.publicUrl}/${issuer.id}`;

let made = 0;
async function newUser(at = issuer) {
  const username = `user-${++made}@example.com`;
  const user = await api.create(`${at.path}/users`, { username, profile: { first_name: 'Ada' } });
  return { ...user, path: `${at.path}/users/${user.id}` };
}
async function newSession(at = issuer) {
  const user = await newUser(at);
  return { ...(await signIn(server, at.id, user.id)), user };
}
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const me = (token: string, path = '/auth/me') => nobody.get(path, bearer(token));
const refresh = (token: string, path = '/auth/refresh') => nobody.post(path, { refresh_token: token });
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const outcome = (answer: { status: number; body: { code?: string } | null }) => [
  answer.status,
  answer.body?.code,
];
const invalid = [401, 'INVALID_TOKEN'];

/** A token that the issuer's own key signs, with some claims changed. */
async function forge(token: string, claims: Record<string, unknown>): Promise<string> {
  const record = await services.keys.findIssuer(issuer.id);
  const all = { ...claimsOf(token), ...claims };
  for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
  return services.signingKeys.sign(record!, all, accessTokenType);
}

describe('an access token', () => {
  test('says who signed in, where and how, for ten minutes', async () => {
    const { user, token, session_id: sid, expires_in } = await newSession();
    const seconds = Math.floor(clock.nowMs() / 1000);
    expect(expires_in).toBe(600);
    expect(claimsOf(token)).toEqual({
      iss: issuerUrl,
      sub: user.id,
      aud: issuerUrl,
      iat: seconds,
      exp: seconds + 600,
      jti: expect.any(String),
      sid,
      client_id: builtInClientId,
      amr: ['otp'],
      auth_time: seconds,
      environment: 'live',
      organizations: [],
    });
  });

  test('has the life and the audience of the login settings', async () => {
    const own = await TestIssuer.create(server, {}, {}, api);
    const settings = { access_token_seconds: 60, audience: 'https://api.example.com' };
    succeeded(await api.patch(`${own.path}/login-settings`, settings));
    const { token } = await newSession(own);
    const { aud, exp, iat } = claimsOf(token);
    expect([aud, exp - iat]).toEqual(['https://api.example.com', 60]);
    expect((await me(token)).status).toBe(200);
    // Whoever the tokens were for before the change is no longer taken for the one they are for now.
    succeeded(await api.patch(`${own.path}/login-settings`, { audience: 'https://other.example.com' }));
    expect(outcome(await me(token))).toEqual(invalid);
  });
});

describe('GET /auth/me', () => {
  test.each(['/auth/me', `/${issuer.id}/auth/me`])('200 at %s: the user of the token', async (path) => {
    const { user, token, session_id } = await newSession();
    const answer = await me(token, path);
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        success: true,
        user: {
          id: user.id,
          email: user.username,
          username_type: 'email',
          username: user.username,
          profile: { first_name: 'Ada' },
          issuer_id: issuer.id,
          environment: 'live',
          session_id,
          organizations: [],
          created_at: user.created_at,
        },
      },
    ]);
    expect(answer.headers.get('X-Environment')).toBe('LIVE');
    expect(answer.headers.get('Cache-Control')).toBe('no-store');
  });

  test('any page may ask, without credentials, and read also why it was refused', async () => {
    const { token } = await newSession();
    for (const path of ['/auth/me', `/${issuer.id}/auth/me`]) {
      const preflight = await nobody.request('OPTIONS', path, {
        headers: {
          Origin: 'https://app.example',
          'Access-Control-Request-Method': 'GET',
          'Access-Control-Request-Headers': 'authorization',
        },
      });
      expect(preflight.status).toBe(204);
      expect(preflight.headers.get('Access-Control-Allow-Origin')).toBe('https://app.example');
      expect(preflight.headers.get('Access-Control-Allow-Headers')).toBe('authorization');
      for (const [shown, status] of [
        [token, 200],
        [`${token}x`, 401],
      ] as const) {
        const answer = await nobody.get(path, { ...bearer(shown), Origin: 'https://app.example' });
        expect([answer.status, answer.headers.get('Access-Control-Allow-Origin')]).toEqual([
          status,
          'https://app.example',
        ]);
        expect(answer.headers.get('Access-Control-Allow-Credentials')).toBeNull();
        expect(answer.headers.get('Vary')).toContain('Origin');
      }
    }
  });

  test('401 without a token, with a key, and with what is none, and the challenge says what to send', async () => {
    const key = await issuer.createKey();
    for (const headers of [{}, bearer(key.secret), bearer('x'), { Authorization: 'Basic eDp4' }]) {
      const answer = await nobody.get('/auth/me', headers as Record<string, string>);
      expect(outcome(answer)).toEqual(invalid);
      expect(answer.headers.get('WWW-Authenticate')).toBe('Bearer realm="gatelodge"');
    }
  });

  // Attack: show a JWT of the same issuer that was made for something else, or of somebody else.
  test('401 for a token that is not the built-in client’s own, for this issuer, this session and this user', async () => {
    const [one, other] = [await newSession(), await newSession()];
    const record = await services.keys.findIssuer(issuer.id);
    const key = new TextEncoder().encode('x'.repeat(32));
    const forged = [
      await forge(one.token, { client_id: 'client_of_somebody' }),
      await forge(one.token, { aud: 'https://elsewhere.example' }),
      await forge(one.token, { aud: [issuerUrl, 'https://elsewhere.example'] }),
      await forge(one.token, { sid: undefined }),
      await forge(one.token, { sid: 's_0000000000000000000000000' }),
      await forge(one.token, { sid: other.session_id }),
      await forge(one.token, { sub: other.user.id }),
      await forge(one.token, { environment: 'sandbox' }),
      await forge(one.token, { cnf: { jkt: 'x' } }),
      await forge(one.token, { exp: claimsOf(one.token).iat }),
      await forge(one.token, { iss: `${services.settings.publicUrl}/i_0000000000000000000000000` }),
      await forge(one.token, { iss: 'https://evil.example' }),
      // As an ID token is marked (RFC 9068 §2.1).
      await services.signingKeys.sign(record!, claimsOf(one.token), 'JWT' as never),
      await new SignJWT(claimsOf(one.token)).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' }).sign(key),
      `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${one.token.split('.')[1]}.`,
      `${one.token.slice(0, -4)}AAAA`,
      one.refresh_token,
    ];
    for (const [index, token] of forged.entries()) {
      expect([index, ...outcome(await me(token))]).toEqual([index, ...invalid]);
      expect([index, (await nobody.get('/v1/me', bearer(token))).status]).toEqual([index, 401]);
      expect([index, (await nobody.post('/auth/logout', undefined, bearer(token))).status]).toEqual([
        index,
        401,
      ]);
    }
    expect((await me(one.token)).status).toBe(200);
  });

  test('401 once the token has expired, and once the session has', async () => {
    const { token, refresh_token: shown } = await newSession();
    clock.advance(599);
    expect((await me(token)).status).toBe(200);
    clock.advance(1);
    expect(outcome(await me(token))).toEqual(invalid);
    clock.advance(30 * 86_400);
    expect(outcome(await refresh(shown))).toEqual(invalid);
  });

  test('405 for another method', async () => {
    const answer = await nobody.post('/auth/me', {});
    expect([answer.status, answer.headers.get('Allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
  });

  test('404 and 405 of before a token is looked at are flat, for pages to read', async () => {
    const headers = { Origin: 'https://app.example' };
    for (const [answer, expected] of [
      [await nobody.post('/auth/me', {}, headers), [405, 'METHOD_NOT_ALLOWED']],
      [await nobody.get('/i_x/auth/me', headers), [404, 'NOT_FOUND']],
    ] as const) {
      expect([...outcome(answer), answer.headers.get('Access-Control-Allow-Origin')]).toEqual([
        ...expected,
        'https://app.example',
      ]);
      expect(answer.headers.get('Content-Type')).toBe('application/json');
    }
  });
});

describe('GET /v1/me', () => {
  test('200: the user of the token, as any credential is told', async () => {
    const { user, token } = await newSession();
    const answer = await nobody.get('/v1/me', { ...bearer(token), Origin: 'https://app.example' });
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        data: {
          type: 'user',
          id: user.id,
          account_id: accountId,
          issuer_id: issuer.id,
          organizations: [],
          environment: 'live',
          scopes: [],
        },
      },
    ]);
    expect(answer.headers.get('X-Environment')).toBe('LIVE');
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('https://app.example');
  });

  test('a key beside the token is who asks', async () => {
    const { token } = await newSession();
    const key = await issuer.createKey();
    const answer = await nobody.get('/v1/me', { ...bearer(token), 'X-API-Key': key.secret });
    expect(answer.body.data).toMatchObject({ type: 'api_key', id: key.id });
  });

  test('401 as a problem for a token that does not count', async () => {
    const answer = await nobody.get('/v1/me', bearer('eyJhbGciOiJub25lIn0.e30.'));
    expect([answer.status, answer.body.code]).toEqual([401, 'invalid_token']);
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
  });

  test('opens nothing of the management API', async () => {
    const { token } = await newSession();
    for (const path of ['/v1/issuers', '/v1/account', issuer.path])
      expect((await nobody.get(path, bearer(token))).status).toBe(401);
  });
});

describe('POST /auth/refresh', () => {
  test.each(['/auth/refresh', `/${issuer.id}/auth/refresh`])(
    '200 at %s: the next pair, and the session goes on',
    async (path) => {
      const first = await newSession();
      clock.advance(300);
      const answer = await refresh(first.refresh_token, path);
      expect([answer.status, answer.body]).toEqual([
        200,
        {
          success: true,
          token: expect.any(String),
          token_type: 'Bearer',
          expires_in: 600,
          refresh_token: expect.stringMatching(/^gl_rt_/),
          user: { id: first.user.id, email: first.user.username },
        },
      ]);
      const [before, after] = [claimsOf(first.token), claimsOf(answer.body.token)];
      expect(after).toEqual({
        ...before,
        iat: before.iat + 300,
        exp: before.exp + 300,
        jti: expect.any(String),
      });
      expect(after.jti).not.toBe(before.jti);
      expect((await me(answer.body.token)).status).toBe(200);
      // The token before lives on until it expires: it is the same session.
      expect((await me(first.token)).status).toBe(200);
      expect((await refresh(answer.body.refresh_token)).status).toBe(200);
    },
  );

  test('a session lasts as long as somebody refreshes it', async () => {
    const session = await newSession();
    let shown = session.refresh_token;
    for (let month = 0; month < 3; month++) {
      clock.advance(29 * 86_400);
      const answer = succeeded(await refresh(shown));
      shown = answer.body.refresh_token;
    }
    clock.advance(30 * 86_400);
    expect(outcome(await refresh(shown))).toEqual(invalid);
  });

  // Attack: a refresh token is stolen and used; then its owner, or the thief once more, uses it again.
  test('a token that was used before ends its session, with the event that says why', async () => {
    const { user, refresh_token: first, session_id: sid } = await newSession();
    const second = succeeded(await refresh(first)).body;
    const { result: reused, events } = await rows.eventsOf(() => refresh(first));
    expect(outcome(reused)).toEqual(invalid);
    expect(events).toMatchObject([
      {
        type: 'session.terminated',
        issuer_id: issuer.id,
        subject_type: 'session',
        subject_id: sid,
        actor: { type: 'system', id: 'refresh-reuse' },
        data: { reason: 'refresh_reuse', user_id: user.id },
      },
    ]);
    expect(outcome(await refresh(second.refresh_token))).toEqual(invalid);
    expect(outcome(await me(second.token))).toEqual(invalid);
    const read = await api.get(`${issuer.path}/sessions/${sid}`);
    expect(read.body.data).toMatchObject({ status: 'ended', end_reason: 'refresh_reuse' });
    // Once more is no second event.
    expect((await rows.eventsOf(() => refresh(first))).events).toEqual([]);
  });

  test('the session of another user, and another session of the same, goes on', async () => {
    const user = await newUser();
    const [one, two] = [await signIn(server, issuer.id, user.id), await signIn(server, issuer.id, user.id)];
    succeeded(await refresh(one.refresh_token));
    expect(outcome(await refresh(one.refresh_token))).toEqual(invalid);
    expect((await refresh(two.refresh_token)).status).toBe(200);
  });

  // Attack: a token of one issuer is shown at another, to be let in there or to end the session it is of.
  test('401 at another issuer, which leaves the token as it is', async () => {
    const other = await TestIssuer.create(server, {}, {}, api);
    const session = await newSession();
    const { events } = await rows.eventsOf(async () => {
      expect(outcome(await refresh(session.refresh_token, `/${other.id}/auth/refresh`))).toEqual(invalid);
      expect(outcome(await me(session.token, `/${other.id}/auth/me`))).toEqual(invalid);
      const logout = await nobody.post(`/${other.id}/auth/logout`, { refresh_token: session.refresh_token });
      expect(outcome(logout)).toEqual(invalid);
    });
    expect(events).toEqual([]);
    expect((await refresh(session.refresh_token)).status).toBe(200);
  });

  // Attack: refresh without end, and fill the table with tokens that have to be kept until they expire.
  test('429 once a session has had its sixty of an hour, and the token is good afterwards', async () => {
    const session = await newSession();
    let shown = session.refresh_token;
    const used = shown;
    for (let turn = 0; turn < 60; turn++) shown = succeeded(await refresh(shown)).body.refresh_token;
    clock.advance(600);
    const before = await rows.snapshot();
    const answer = await refresh(shown);
    expect([...outcome(answer), answer.headers.get('Retry-After')]).toEqual([429, 'RATE_LIMITED', '3000']);
    expect(await rows.snapshot()).toEqual(before);
    // What two nodes have read before either counts is decided by the row.
    await rows.query('update sessions set refreshes = 59 where id = $1', [session.session_id]);
    const next = succeeded(await refresh(shown)).body.refresh_token;
    expect((await refresh(next)).status).toBe(429);
    clock.advance(3_000);
    shown = succeeded(await refresh(next)).body.refresh_token;
    expect((await refresh(shown)).status).toBe(200);
    await rows.query('update sessions set refreshes = 60 where id = $1', [session.session_id]);
    // The budget shelters no thief.
    const { result: reused, events } = await rows.eventsOf(() => refresh(used));
    expect([outcome(reused), events.length]).toEqual([invalid, 1]);
  });

  // Attack: have a refresh wait while the issuer or the account is suspended or deleted, and get tokens all the same.
  test.each([
    ['a suspended issuer', 'issuer suspend', 403],
    ['a deleted issuer', 'issuer delete', 401],
    ['a suspended account', 'account suspend', 403],
  ])('%s gives out nothing, to a refresh that was under way before neither', async (_name, what, status) => {
    const customer = await createCustomer(server);
    const own = await TestIssuer.create(server, {}, {}, customer.api);
    const user = await customer.api.create(`${own.path}/users`, { username: 'a@example.com' });
    const session = await signIn(server, own.id, user.id);
    await rows.query('begin');
    await rows.query('select 1 from sessions where id = $1 for update', [session.session_id]);
    const waiting = refresh(session.refresh_token);
    const observer = await Rows.open(server.database);
    await expect
      .poll(() => observer.query('select 1 from pg_locks where not granted'), { timeout: 10_000 })
      .not.toEqual([]);
    await observer.close();
    if (what === 'issuer suspend') succeeded(await customer.api.post(`${own.path}/suspend`));
    else if (what === 'issuer delete') succeeded(await customer.api.delete(own.path));
    else succeeded(await server.operator.api.post(`/v1/accounts/${customer.id}/suspend`));
    await rows.query('commit');
    expect((await waiting).status).toBe(status);
  });

  // Attack on ourselves: retire the generation of a token that was used, and take it for a made-up one when it is shown.
  test('a used token keeps its generation from being retired, and none is made under one that is', async () => {
    const needing = async () =>
      (await rows.query(`select lookup_keys_of_generation('refresh-token', 1)::int as count`))[0]!.count;
    const before = Number(await needing());
    const session = await newSession();
    succeeded(await refresh(session.refresh_token));
    expect(await needing()).toBe(before + 2);
    const orphan = rows.query(
      `insert into refresh_tokens (digest, digest_generation, account_id, issuer_id, session_id, created_at, expires_at)
       select 'x', 2, account_id, issuer_id, id, created_at, expires_at from sessions where id = $1`,
      [session.session_id],
    );
    await expect(orphan).rejects.toThrow('retired generation');
  });

  test('401 for what is no refresh token, and nothing is written', async () => {
    const { token } = await newSession();
    const before = await rows.snapshot();
    for (const shown of [token, 'x', `gl_rt_1_${'A'.repeat(55)}`, '\u0001'.repeat(9)])
      expect(outcome(await refresh(shown))).toEqual(invalid);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('400, 413, 415 and 422 as flat errors', async () => {
    const cases = [
      [{ rawBody: '{' }, 400, 'MALFORMED_JSON'],
      [{ rawBody: JSON.stringify({ refresh_token: 'x'.repeat(20_000) }) }, 413, 'BODY_TOO_LARGE'],
      [{ rawBody: '{}', headers: { 'Content-Type': 'text/plain' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
      [{ body: {} }, 422, 'INVALID_REQUEST'],
      [{ body: { refresh_token: 'x', issuer_id: issuer.id } }, 422, 'INVALID_REQUEST'],
      [{ body: { refresh_token: 7 } }, 422, 'INVALID_REQUEST'],
      [{ body: { refresh_token: 'x'.repeat(8193) } }, 422, 'INVALID_REQUEST'],
    ] as const;
    for (const [request, status, code] of cases) {
      const answer = await nobody.request('POST', '/auth/refresh', request);
      expect(outcome(answer)).toEqual([status, code]);
      if (status === 413) expect(answer.body.error).toContain('16 KiB');
    }
  });
});

describe('POST /auth/logout', () => {
  test.each(['/auth/logout', `/${issuer.id}/auth/logout`])(
    '200 at %s: ends the session of the token',
    async (path) => {
      const { user, token, refresh_token: shown, session_id: sid } = await newSession();
      const { result: answer, events } = await rows.eventsOf(() =>
        nobody.post(path, undefined, bearer(token)),
      );
      expect([answer.status, answer.body]).toEqual([200, { success: true }]);
      expect(events).toMatchObject([
        {
          type: 'session.terminated',
          subject_id: sid,
          actor: { type: 'user', id: user.id },
          data: { reason: 'logout', user_id: user.id },
        },
      ]);
      expect(outcome(await me(token))).toEqual(invalid);
      expect(outcome(await refresh(shown))).toEqual(invalid);
      expect(outcome(await nobody.post(path, undefined, bearer(token)))).toEqual(invalid);
    },
  );

  test('200 by the refresh token, used or not, where the access token has expired', async () => {
    const { refresh_token: first, token } = await newSession();
    const second = succeeded(await refresh(first)).body;
    expect((await nobody.post('/auth/logout', { refresh_token: first })).status).toBe(200);
    for (const each of [token, second.token]) expect(outcome(await me(each))).toEqual(invalid);
    expect(outcome(await refresh(second.refresh_token))).toEqual(invalid);
    expect(outcome(await nobody.post('/auth/logout', { refresh_token: first }))).toEqual(invalid);
  });

  test('200 where a body is announced and comes without a byte', async () => {
    const { token } = await newSession();
    const response = await fetch(`${server.url}/auth/logout`, {
      method: 'POST',
      headers: bearer(token),
      body: new ReadableStream({ start: (controller) => controller.close() }),
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(200);
  });

  test('401 by a refresh token that is of another client, whose session goes on', async () => {
    const session = await newSession();
    await rows.query(`update sessions set client_id = 'client_of_somebody' where id = $1`, [
      session.session_id,
    ]);
    const answer = await nobody.post('/auth/logout', { refresh_token: session.refresh_token });
    expect(outcome(answer)).toEqual(invalid);
    const [row] = await rows.query('select ended_at from sessions where id = $1', [session.session_id]);
    expect(row).toEqual({ ended_at: null });
  });

  test('422 for a body that says anything else', async () => {
    const { token } = await newSession();
    expect((await nobody.post('/auth/logout', { everywhere: true }, bearer(token))).status).toBe(422);
    expect((await nobody.post('/auth/logout', {}, bearer(token))).status).toBe(200);
  });
});

describe('what ends a session, or keeps its tokens from counting', () => {
  const counts = async ({ token, refresh_token: shown }: { token: string; refresh_token: string }) => [
    (await me(token)).status,
    (await nobody.get('/v1/me', bearer(token))).status,
    (await refresh(shown)).status,
  ];

  test('a suspended user is out, and stays out of that session when it is activated', async () => {
    const session = await newSession();
    const { events } = await rows.eventsOf(() => api.post(`${session.user.path}/suspend`));
    expect(events.map(({ type }) => type)).toEqual(['user.suspended', 'session.terminated']);
    expect(events[1]).toMatchObject({ data: { reason: 'user_suspended', user_id: session.user.id } });
    expect(await counts(session)).toEqual([401, 401, 401]);
    await expect(signIn(server, issuer.id, session.user.id)).rejects.toMatchObject({ code: 'invalid_token' });
    succeeded(await api.post(`${session.user.path}/activate`));
    expect(await counts(session)).toEqual([401, 401, 401]);
    expect((await me((await signIn(server, issuer.id, session.user.id)).token)).status).toBe(200);
  });

  // Attack: refresh at the moment at which the session would expire, while the user is suspended.
  test('a session that is refreshed as it expires ends with its user', async () => {
    const session = await newSession();
    clock.advance(30 * 86_400);
    await rows.query('begin');
    // As a refresh that began in time does it.
    await rows.query(`update sessions set expires_at = expires_at + interval '30 days' where id = $1`, [
      session.session_id,
    ]);
    const suspended = api.post(`${session.user.path}/suspend`);
    const observer = await Rows.open(server.database);
    await expect
      .poll(() => observer.query('select 1 from pg_locks where not granted'), { timeout: 10_000 })
      .not.toEqual([]);
    await observer.close();
    await rows.query('commit');
    succeeded(await suspended);
    const [row] = await rows.query('select end_reason from sessions where id = $1', [session.session_id]);
    expect(row).toEqual({ end_reason: 'user_suspended' });
  });

  // Attack: come by the address of somebody who has been deleted, and find its sessions still good for the new user.
  test('a deleted user is out, and one who comes later by the same address has nothing of it', async () => {
    const session = await newSession();
    succeeded(await api.delete(session.user.path));
    const renewed = await api.create(`${issuer.path}/users`, { username: session.user.username });
    expect(renewed.id).not.toBe(session.user.id);
    expect(await counts(session)).toEqual([401, 401, 401]);
    expect((await api.get(`${issuer.path}/users/${renewed.id}/sessions`)).body.data).toEqual([]);
    expect((await api.get(`${issuer.path}/sessions/${session.session_id}`)).status).toBe(404);
    const all = (await api.get(`${issuer.path}/sessions`)).body.data as { user_id: string }[];
    expect(all.filter(({ user_id }) => user_id === session.user.id)).toEqual([]);
    const logout = await nobody.post('/auth/logout', { refresh_token: session.refresh_token });
    expect(outcome(logout)).toEqual(invalid);
  });

  test('a suspended issuer’s tokens are refused and kept; a deleted one’s are gone', async () => {
    const own = await TestIssuer.create(server, {}, {}, api);
    const session = await newSession(own);
    succeeded(await api.post(`${own.path}/suspend`));
    expect(await counts(session)).toEqual([403, 403, 403]);
    const refused = await me(session.token);
    expect([...outcome(refused), refused.headers.get('X-Environment')]).toEqual([403, 'FORBIDDEN', 'LIVE']);
    expect((await refresh(session.refresh_token)).headers.get('X-Environment')).toBe('LIVE');
    succeeded(await api.post(`${own.path}/activate`));
    expect((await me(session.token)).status).toBe(200);
    const next = succeeded(await refresh(session.refresh_token)).body;
    succeeded(await api.delete(own.path));
    expect(await counts(next)).toEqual([401, 401, 401]);
  });

  test('a suspended account’s tokens are refused and kept; a deleted one’s are gone', async () => {
    const customer = await createCustomer(server);
    const own = await TestIssuer.create(server, {}, {}, customer.api);
    const user = await customer.api.create(`${own.path}/users`, { username: 'a@example.com' });
    const session = await signIn(server, own.id, user.id);
    const path = `/v1/accounts/${customer.id}`;
    succeeded(await server.operator.api.post(`${path}/suspend`));
    expect(await counts(session)).toEqual([403, 403, 403]);
    succeeded(await server.operator.api.post(`${path}/activate`));
    const next = succeeded(await refresh(session.refresh_token)).body;
    succeeded(await server.operator.api.delete(`${path}?name=Acme&force=true`));
    expect(await counts(next)).toEqual([401, 401, 401]);
  });
});

describe('sandbox', () => {
  // Attack: get a token in the sandbox, where codes can be read by whoever has a sandbox key, and use it for live.
  test('the same address is another user there, and neither token passes for the other', async () => {
    const twin = new TestIssuer(server.url, api, (await api.create(`${issuer.path}/sandbox-issuer`)).id);
    const live = await newSession();
    const user = await api.create(`${twin.path}/users`, { username: live.user.username });
    const sandbox = await signIn(server, twin.id, user.id);
    expect(claimsOf(sandbox.token)).toMatchObject({
      iss: `${services.settings.publicUrl}/${twin.id}`,
      environment: 'sandbox',
    });
    expect((await me(sandbox.token)).headers.get('X-Environment')).toBe('SANDBOX');
    expect((await nobody.get('/v1/me', bearer(sandbox.token))).body.data).toMatchObject({
      environment: 'sandbox',
      issuer_id: twin.id,
    });
    for (const [token, shown, elsewhere] of [
      [sandbox.token, sandbox.refresh_token, issuer.id],
      [live.token, live.refresh_token, twin.id],
    ] as const) {
      expect(outcome(await me(token, `/${elsewhere}/auth/me`))).toEqual(invalid);
      expect(outcome(await refresh(shown, `/${elsewhere}/auth/refresh`))).toEqual(invalid);
    }
    // Signed by the live issuer's key, it would still name a session that is not there.
    expect(outcome(await me(await forge(live.token, { sid: sandbox.session_id, sub: user.id })))).toEqual(
      invalid,
    );
  });
});
