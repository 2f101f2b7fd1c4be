import { connect } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

// It stands still, so that two tokens tell the same times.
const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const machineOf = (settings: object = {}, openid: object = {}) =>
  OidcClient.create(server, issuer, {
    settings: { scopes: ['reports:read', 'reports:write'], ...settings },
    openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [], ...openid },
  });
const machine = await machineOf();
const grant = { grant_type: 'client_credentials' };
const { providers } = server.running.services.oidc;

/** The same client, who shows its secret in the body: that is left to the library. */
const byLibrary = (client: OidcClient, form: Record<string, string>) =>
  new OidcClient(server, issuer.id, client.id, null).post('/token', {
    client_secret: client.secret!,
    ...form,
  });

describe('a token of a client’s own', () => {
  test('is what the library gives', async () => {
    await api.patch(`${issuer.path}/login-settings`, { audience: 'https://api.example' });
    const short = await machineOf({}, { access_token_seconds: 60 });
    const bare = await machineOf({ scopes: ['openid'] });
    const asked: [OidcClient, Record<string, string>][] = [
      [machine, grant],
      [machine, { ...grant, scope: 'reports:write' }],
      [machine, { ...grant, scope: 'reports:write reports:read reports:write' }],
      [short, grant],
      [bare, grant],
    ];
    for (const [client, form] of asked) {
      const [ours, theirs] = [await client.post('/token', form), await byLibrary(client, form)];
      expect([ours.status, theirs.status]).toEqual([200, 200]);
      const { access_token: token, ...rest } = ours.body;
      const { access_token: theirToken, ...theirRest } = theirs.body;
      expect(rest).toEqual(theirRest);
      expect({ ...claimsOf(token), jti: '' }).toEqual({ ...claimsOf(theirToken), jti: '' });
      expect(token.split('.')[0]).toBe(theirToken.split('.')[0]);
      for (const name of ['Cache-Control', 'Content-Type', 'X-Content-Type-Options', 'Vary'])
        expect([name, ours.headers.get(name)]).toEqual([name, theirs.headers.get(name)]);
    }
    await api.patch(`${issuer.path}/login-settings`, { audience: null });
  });

  test('takes no instance of the library, and verifies', async () => {
    const other = await TestIssuer.create(server, {}, {}, api);
    const client = await OidcClient.create(server, other, {
      settings: { scopes: ['reports:read'] },
      openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [] },
    });
    const before = providers.size;
    const { body } = await client.post('/token', grant);
    expect(providers.size).toBe(before);
    const keys = createRemoteJWKSet(new URL(`${server.url}/${other.id}/jwks.json`));
    const url = `http://localhost:4600/${other.id}`;
    const { payload } = await jwtVerify(body.access_token, keys, {
      issuer: url,
      audience: url,
      typ: 'at+jwt',
      currentDate: clock.now(),
    });
    expect(payload).toMatchObject({ sub: client.id, client_id: client.id, scope: 'reports:read' });
  });
});

describe('refused, as the library refuses', () => {
  // Each of these would be a token for somebody who may not have it, or a wider one than it may have.
  test.each<
    [string, (client: OidcClient) => Promise<{ status: number; body: { error: string } }>, unknown[]]
  >([
    [
      'another secret',
      ({ id, secret }) => new OidcClient(server, issuer.id, id, `${secret}x`).post('/token', grant),
      [401, 'invalid_client'],
    ],
    [
      'an unknown client',
      () => new OidcClient(server, issuer.id, `c_${'0'.repeat(25)}`, 'x').post('/token', grant),
      [401, 'invalid_client'],
    ],
    [
      'a scope that it was not given',
      (client) => client.post('/token', { ...grant, scope: 'admin:write' }),
      [400, 'invalid_scope'],
    ],
    [
      'one among others',
      (client) => client.post('/token', { ...grant, scope: 'reports:read admin:write' }),
      [400, 'invalid_scope'],
    ],
    [
      'a scope that is of users',
      (client) => client.post('/token', { ...grant, scope: 'openid' }),
      [400, 'invalid_scope'],
    ],
    [
      'a resource that it was not given',
      (client) => client.post('/token', { ...grant, resource: 'https://evil.example' }),
      [400, 'invalid_target'],
    ],
    [
      'two ways to show a secret',
      (client) => client.post('/token', { ...grant, client_secret: client.secret! }),
      [400, 'invalid_request'],
    ],
    [
      'another client’s id beside the secret',
      (client) => client.post('/token', { ...grant, client_id: 'c_0000000000000000000000000' }),
      [400, 'invalid_request'],
    ],
  ])('%s', async (_, ask, refusal) => {
    const { status, body } = await ask(machine);
    expect([status, body.error]).toEqual(refusal);
  });

  test('a client without that grant, one without a secret, one whose tokens are bound to a key', async () => {
    const web = await OidcClient.create(server, issuer);
    expect((await web.post('/token', grant)).body.error).toBe('unauthorized_client');
    const spa = await OidcClient.create(server, issuer, { openid: { application_type: 'spa' } });
    expect((await spa.post('/token', grant)).status).toBe(400);
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: true }));
    const bound = await machineOf({}, { dpop_bound_access_tokens: true });
    expect((await bound.post('/token', grant)).status).toBe(400);
  });

  test('a client that is suspended or deleted, or whose issuer is suspended, at once', async () => {
    const client = await machineOf();
    const path = `${issuer.path}/clients/${client.id}`;
    expect((await client.post('/token', grant)).status).toBe(200);
    for (const [end, undo, status] of [
      [`${path}/suspend`, `${path}/activate`, 401],
      [`${issuer.path}/suspend`, `${issuer.path}/activate`, 403],
    ] as const) {
      succeeded(await api.post(end));
      expect((await client.post('/token', grant)).status).toBe(status);
      succeeded(await api.post(undo));
      expect((await client.post('/token', grant)).status).toBe(200);
    }
    succeeded(await api.delete(path));
    expect((await client.post('/token', grant)).status).toBe(401);
  });

  // A secret of the one customer's client at the other customer's issuer.
  test('a client at another issuer', async () => {
    const other = await TestIssuer.create(server, {}, {}, (await createCustomer(server)).api);
    const there = new OidcClient(server, other.id, machine.id, machine.secret);
    expect((await there.post('/token', grant)).body.error).toBe('invalid_client');
  });
});

// What is looked at and handed on must neither be lost nor be taken for the next request.
test('a connection goes on, whoever has answered and in however many pieces the body comes', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const web = await OidcClient.create(server, issuer);
  const { code, verifier } = await web.code(new OidcBrowser(server), { userId: user.id });
  const redeem = {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: 'https://app.example/callback',
  };
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname).setEncoding('latin1').setNoDelay(true);
  const send = async (client: OidcClient, form: Record<string, string>, pieces: number) => {
    const body = new URLSearchParams(form).toString();
    const basic = Buffer.from(`${client.id}:${client.secret}`).toString('base64');
    const head = `POST /${issuer.id}/token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${basic}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`;
    const size = Math.ceil(body.length / pieces);
    let received = '';
    const answered = new Promise<string>((resolve) => {
      const read = (text: string) => {
        received += text;
        const length = Number(/content-length: (\d+)/i.exec(received)?.[1] ?? Number.NaN);
        if (!(received.length >= received.indexOf('\r\n\r\n') + 4 + length)) return;
        socket.off('data', read);
        resolve(received);
      };
      socket.on('data', read);
    });
    socket.write(pieces === 1 ? head + body : head);
    for (let at = 0; pieces > 1 && at < body.length; at += size) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.write(body.slice(at, at + size));
    }
    return /^HTTP\/1.1 (\d+)/.exec(await answered)![1];
  };
  expect(await send(machine, grant, 1)).toBe('200');
  expect(await send(machine, grant, 4)).toBe('200');
  expect(await send(machine, { ...grant, scope: 'admin:write' }, 1)).toBe('400');
  expect(await send(web, redeem, 1)).toBe('200');
  expect(await send(machine, grant, 1)).toBe('200');
  expect(await send(web, redeem, 3)).toBe('400');
  expect(await send(machine, { ...grant, scope: 'reports:read' }, 2)).toBe('200');
  socket.destroy();
});
