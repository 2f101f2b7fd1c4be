import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

const verifying = { restrictions: { scopes: ['keys:verify'] } };

let server: TestServer;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer();
  issuer = await TestIssuer.create(server);
});
afterAll(() => server.close());

async function ask(caller: { id: string; secret: string } | null, key: TestKey, headers = {}) {
  return server.operator.api.as(caller).post('/v1/keys/verify', { key: key.secret }, headers);
}

describe('a caller sees the keys at or below its own level', () => {
  type Level = 'account' | 'issuer' | 'otherIssuer' | 'organization' | 'otherOrganization' | 'foreign';
  const subjects = {} as Record<Level, TestKey>;
  const callers = {} as Record<Level, TestKey>;

  beforeAll(async () => {
    const { api } = server.operator;
    const neighbour = await TestIssuer.create(server);
    const [acme, globex] = [await issuer.createOrganization(), await issuer.createOrganization()];
    const customer = await createCustomer(server);
    const foreign = await TestIssuer.create(server, {}, {}, customer.api);
    for (const [keys, body] of [
      [subjects, {}],
      [callers, verifying],
    ] as const) {
      keys.account = await createKey(api, '/v1/api-keys', body);
      keys.issuer = await issuer.createKey(body);
      keys.otherIssuer = await neighbour.createKey(body);
      keys.organization = await issuer.createKey(body, acme.id);
      keys.otherOrganization = await issuer.createKey(body, globex.id);
      keys.foreign = await foreign.createKey(body);
    }
  });

  test.each([
    ['account', ['account', 'issuer', 'otherIssuer', 'organization', 'otherOrganization']],
    ['issuer', ['issuer', 'organization', 'otherOrganization']],
    ['otherIssuer', ['otherIssuer']],
    ['organization', ['organization']],
    ['foreign', ['foreign']],
  ] as [Level, Level[]][])('%s', async (level, visible) => {
    // Attack: a caller asks about keys that it came by, to learn what they are and whose.
    const seen: string[] = [];
    const unseen = new Set<string>();
    for (const [name, key] of Object.entries(subjects)) {
      const { status, body } = await ask(callers[level], key);
      expect(status).toBe(200);
      if (body.code === 'NOT_FOUND') unseen.add(JSON.stringify({ ...body, request_id: '' }));
      else seen.push(name);
    }
    expect(seen).toEqual(visible);
    // What lies elsewhere is answered as what does not exist: the same bytes, whatever it is.
    const { body } = await ask(callers[level], {
      ...subjects.account,
      secret: `gl_live_sk_${'0'.repeat(44)}`,
    });
    expect([...unseen]).toEqual([JSON.stringify({ ...body, request_id: '' })]);
  });

  test('dead keys that lie elsewhere are not found either', async () => {
    const key = await issuer.createKey();
    succeeded(await issuer.api.post(`${key.path}/revoke`));
    expect((await ask(callers.otherIssuer, key)).body.code).toBe('NOT_FOUND');
    expect((await ask(callers.issuer, key)).body.code).toBe('REVOKED');
  });

  test('a sandbox caller sees sandbox keys alone', async () => {
    const [live, sandbox] = [await issuer.createKey(), await issuer.createKey({ environment: 'sandbox' })];
    const caller = await issuer.createKey({ ...verifying, environment: 'sandbox' });
    expect((await ask(caller, live)).body.code).toBe('NOT_FOUND');
    expect((await ask(caller, sandbox)).body.code).toBe('VALID');
    expect((await ask(callers.issuer, sandbox)).body.code).toBe('VALID');
  });
});

describe('a caller that may not verify', () => {
  test('has no key, a wrong one, a dead one: 401 with a challenge', async () => {
    const subject = await issuer.createKey();
    const disabled = await issuer.createKey(verifying);
    const [one, other] = [await issuer.createKey(verifying), await issuer.createKey(verifying)];
    succeeded(await issuer.api.post(`${disabled.path}/disable`));
    for (const [caller, code] of [
      [null, 'missing_key'],
      [{ id: one.id, secret: `${one.secret.slice(0, -1)}!` }, 'invalid_key'],
      [{ id: other.id, secret: one.secret }, 'invalid_key'],
      [{ id: '', secret: one.secret }, 'invalid_key'],
      [disabled, 'disabled_key'],
    ] as const) {
      const answer = await ask(caller, subject);
      expect([answer.status, answer.body.code]).toEqual([401, code]);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=.*, Bearer realm=/);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    }
  });

  test('lacks keys:verify: 403, whatever else it may do', async () => {
    const subject = await issuer.createKey();
    for (const scopes of [[], ['gatelodge.api-keys:read', 'gatelodge.api-keys:write', 'invoices:read']]) {
      for (const caller of [
        await issuer.createKey({ restrictions: { scopes } }),
        await createKey(server.operator.api, '/v1/api-keys', { restrictions: { scopes } }),
      ]) {
        const answer = await ask(caller, subject);
        expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
        expect(answer.headers.get('x-environment')).toBe('LIVE');
      }
    }
  });

  test('is publishable: 403, though the request is a publishable key’s own', async () => {
    // Attack: the key that every visitor of a page can read is used to try out stolen keys.
    const publishable = await issuer.createKey({ kind: 'publishable' });
    const answer = await ask(publishable, publishable);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    // Nor would it help if the permission had come into its row in some way.
    const holding = await issuer.createKey({ kind: 'publishable' });
    const rows = await Rows.open(server.database);
    await rows.query(`update api_keys set scopes = '{keys:verify}' where id = $1`, [holding.id]);
    await rows.close();
    const refused = await ask(holding, publishable);
    expect([refused.status, refused.body.code]).toEqual([403, 'permission_denied']);
    const granted = await issuer.api.post(`${issuer.path}/api-keys`, { kind: 'publishable', ...verifying });
    expect([granted.status, granted.body.code]).toEqual([422, 'invalid_request']);
  });

  test('is of a suspended issuer or organization: 403', async () => {
    const suspended = await TestIssuer.create(server);
    const tenant = await suspended.createOrganization();
    const [ofIssuer, ofTenant] = [
      await suspended.createKey(verifying),
      await suspended.createKey(verifying, tenant.id),
    ];
    expect((await ask(ofTenant, ofTenant)).body.code).toBe('VALID');
    succeeded(await suspended.api.post(`${suspended.path}/organizations/${tenant.id}/suspend`));
    expect((await ask(ofTenant, ofTenant)).body).toMatchObject({ status: 403, code: 'tenant_suspended' });
    succeeded(await suspended.api.post(`${suspended.path}/suspend`));
    expect((await ask(ofIssuer, ofIssuer)).body).toMatchObject({ status: 403, code: 'issuer_suspended' });
  });

  test('breaks a restriction of its own key: 403', async () => {
    const subject = await issuer.createKey();
    const { scopes } = verifying.restrictions;
    const bound = await issuer.createKey({ restrictions: { scopes, ips: ['203.0.113.7'] } });
    expect((await ask(bound, subject)).body.code).toBe('ip_not_allowed');
    const listed = await issuer.createKey({ restrictions: { scopes, origins: ['https://a.example'] } });
    expect((await ask(listed, subject, { Origin: 'https://b.example' })).body.code).toBe(
      'origin_not_allowed',
    );
    expect((await ask(listed, subject, { Origin: 'https://a.example' })).body.code).toBe('VALID');
    expect((await ask(listed, subject)).body.code).toBe('VALID');
  });

  test('is judged before its body is: a stranger learns nothing of it', async () => {
    const { api } = server.operator;
    for (const rawBody of ['{', '{}', 'x'.repeat(300_000)]) {
      const answer = await api.as(null).request('POST', '/v1/keys/verify', { rawBody });
      expect([answer.status, answer.body.code]).toEqual([401, 'missing_key']);
    }
  });
});

describe('the caller’s credential', () => {
  test('is that of each request, also where many come over one connection', async () => {
    // Attack: a gateway keeps its connections for all of its callers; one of them is taken for the one before it.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const subject = await issuer.createKey();
    const [one, other] = [await issuer.createKey(verifying), await issuer.createKey(verifying)];
    const lacking = await issuer.createKey();
    const basic = (id: string, secret: string) =>
      `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    const sockets = new Set<unknown>();
    const callWith = (authorization: string | undefined) =>
      new Promise<number>((resolve, reject) => {
        const headers = { 'Content-Type': 'application/json', ...(authorization && { authorization }) };
        const call = request(`${server.url}/v1/keys/verify`, { method: 'POST', agent, headers });
        call.on('socket', (socket) => sockets.add(socket));
        call.on('error', reject);
        call.on('response', (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        });
        call.end(JSON.stringify({ key: subject.secret }));
      });
    for (const [authorization, status] of [
      [`Bearer ${one.secret}`, 200],
      [`Bearer ${one.secret}`, 200],
      [undefined, 401],
      [`Bearer ${lacking.secret}`, 403],
      [basic(one.id, one.secret), 200],
      [basic(other.id, one.secret), 401],
      [basic(one.id, other.secret), 401],
      [`Bearer ${one.secret}x`, 401],
      [`Bearer ${one.secret}`, 200],
      [`Bearer ${one.secret}, Bearer ${other.secret}`, 401],
      [`Bearer ${other.secret}`, 200],
    ] as const) {
      expect([authorization, await callWith(authorization)]).toEqual([authorization, status]);
    }
    succeeded(await issuer.api.post(`${other.path}/revoke`));
    expect(await callWith(`Bearer ${other.secret}`)).toBe(401);
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  test('is one key by Basic or by Bearer, either way the same', async () => {
    const [subject, caller] = [await issuer.createKey(), await issuer.createKey(verifying)];
    const anonymous = server.operator.api.as(null);
    const basic = Buffer.from(`${caller.id}:${caller.secret}`).toString('base64');
    for (const authorization of [`Basic ${basic}`, `basic ${basic}`, `Bearer ${caller.secret}`]) {
      const answer = await anonymous.post(
        '/v1/keys/verify',
        { key: subject.secret },
        { Authorization: authorization },
      );
      expect([authorization, answer.body.code]).toEqual([authorization, 'VALID']);
    }
  });

  test('in another header is none: those are for the keys of the account’s own API', async () => {
    const [subject, caller] = [await issuer.createKey(), await issuer.createKey(verifying)];
    for (const header of ['X-API-Key', 'X-OTP-API-Key', 'x-tenant-api-key']) {
      const answer = await ask(null, subject, { [header]: caller.secret });
      expect([answer.status, answer.body.code]).toEqual([401, 'missing_key']);
    }
  });
});
