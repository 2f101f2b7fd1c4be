import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiAnswer, ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { verifyResult } from './contracts.ts';
import { checkNames } from './explain.ts';

const verifying = { restrictions: { scopes: ['keys:verify'] } };
const madeUp = `gl_live_sk_${'0'.repeat(44)}`;

interface Check {
  check: string;
  outcome: string;
  code: string | null;
  message: string;
}

const clock = new TestClock();
let server: TestServer;
let api: ApiClient;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer({ clock });
  api = server.operator.api;
  issuer = await TestIssuer.create(server);
});
afterAll(() => server.close());

async function explain(key: string, body: Record<string, unknown> = {}, as = api): Promise<ApiAnswer> {
  const answer = await as.post('/v1/keys/verify', { key, request_id: 'r', explain: true, ...body });
  expect(answer.status).toBe(200);
  expect(verifyResult.parse(answer.body)).toEqual(answer.body);
  const checks: Check[] = answer.body.checks;
  expect(checks.map(({ check }) => check)).toEqual([...checkNames]);
  const firstFailed = checks.find(({ outcome }) => outcome === 'failed');
  expect(answer.body.code).toBe(firstFailed?.code ?? 'VALID');
  return answer;
}

test('the answer is that of verify, and besides every check', async () => {
  const key = await issuer.createKey({
    restrictions: { scopes: ['a:read'], origins: ['https://a.example'] },
  });
  for (const body of [{}, { scopes: ['a:read'] }, { origin: 'https://b.example', scopes: 'b:read' }]) {
    const { checks, ...rest } = (await explain(key.secret, body)).body;
    const plain = await api.post('/v1/keys/verify', { key: key.secret, request_id: 'r', ...body });
    expect(rest).toEqual(plain.body);
    expect(checks).toHaveLength(14);
    for (const explainOff of [false, null]) {
      const off = await api.post('/v1/keys/verify', {
        key: key.secret,
        request_id: 'r',
        explain: explainOff,
        ...body,
      });
      expect(off.text).toBe(plain.text);
    }
  }
});

test('every fault is told at once, with what is lacking', async () => {
  const strict = await TestIssuer.create(server, { preset: 'tenant-header' });
  const key = await strict.createKey({
    environment: 'sandbox',
    restrictions: {
      origins: ['https://a.example', 'https://b.example'],
      ips: ['203.0.113.7'],
      scopes: ['a:read'],
    },
  });
  succeeded(await api.post(`${key.path}/disable`));
  const { body } = await explain(key.secret, {
    environment: 'live',
    origin: 'https://evil.example',
    ip: '198.51.100.1',
    scopes: 'a:read AND (b:read OR c:write)',
  });
  const failed = (body.checks as Check[]).filter(({ outcome }) => outcome === 'failed');
  expect(failed.map(({ check, code }) => [check, code])).toEqual([
    ['status', 'DISABLED'],
    ['environment', 'WRONG_ENVIRONMENT'],
    ['tenant', 'TENANT_REQUIRED'],
    ['origin', 'ORIGIN_NOT_ALLOWED'],
    ['secret_key_in_browser', 'SECRET_KEY_IN_BROWSER'],
    ['ip', 'IP_NOT_ALLOWED'],
    ['scope', 'INSUFFICIENT_SCOPE'],
  ]);
  expect(failed[3]!.message).toBe('The origin is none of the key’s 2 origins.');
  expect(failed.at(-1)!.message).toContain('b:read, c:write');
});

test('the tenant is looked up and told of also where the key is dead', async () => {
  const tenant = await issuer.createOrganization({ external_id: 'told' });
  const key = await issuer.createKey();
  succeeded(await api.post(`${key.path}/revoke`));
  const tenantCheck = async (name: string) => {
    const { body } = await explain(key.secret, { tenant: name });
    expect(body.code).toBe('REVOKED');
    return (body.checks as Check[]).find(({ check }) => check === 'tenant')!.outcome;
  };
  expect(await tenantCheck('told')).toBe('passed');
  expect(await tenantCheck(tenant.id)).toBe('passed');
  expect(await tenantCheck('nobody')).toBe('failed');
});

describe('a key that the caller may not see', () => {
  // Attack: whoever may verify asks for an explanation of keys that it came by, to learn what they are and whose.
  test('is explained as one that nobody has, byte for byte', async () => {
    const customer = await createCustomer(server);
    const foreign = await TestIssuer.create(server, {}, {}, customer.api);
    const [tenant, other] = [await issuer.createOrganization(), await issuer.createOrganization()];
    const deleted = await issuer.createKey();
    succeeded(await api.delete(deleted.path));
    const dead = await issuer.createKey({}, other.id);
    succeeded(await api.post(`${dead.path}/revoke`));
    const caller = await issuer.createKey(verifying, tenant.id);
    const sandboxCaller = await issuer.createKey({ ...verifying, environment: 'sandbox' });
    const body = { tenant: other.id, origin: 'https://a.example', environment: 'live', scopes: ['a:read'] };
    for (const [as, secrets] of [
      [
        caller,
        [(await issuer.createKey()).secret, (await issuer.createKey({}, other.id)).secret, dead.secret],
      ],
      [caller, [server.operator.key.secret, (await foreign.createKey()).secret, deleted.secret]],
      [sandboxCaller, [(await issuer.createKey()).secret, caller.secret]],
    ] as const) {
      const nobodys = await explain(madeUp, body, api.as(as));
      expect(nobodys.body.code).toBe('NOT_FOUND');
      for (const secret of secrets) {
        const answer = await explain(secret, body, api.as(as));
        expect(answer.text).toBe(nobodys.text);
        expect(answer.headers.get('x-environment')).toBe(nobodys.headers.get('x-environment'));
      }
    }
  });

  // Attack: check parts are tried until the answer tells that one was right.
  test('and neither does a wrong check part show', async () => {
    const { secret } = await issuer.createKey();
    const lastOther = secret.endsWith('0') ? '1' : '0';
    const forged = await explain(secret.slice(0, -1) + lastOther);
    expect(forged.text).toBe((await explain(madeUp)).text);
    const wellFormed = (forged.body.checks as Check[])[1]!;
    expect([wellFormed.outcome, forged.body.code]).toEqual(['passed', 'NOT_FOUND']);
    const cut = await explain(secret.slice(0, -1));
    expect((cut.body.checks as Check[])[1]!.outcome).toBe('failed');
  });
});

test('explains to whoever may verify, and tells it no list of the key', async () => {
  const key = await issuer.createKey({
    restrictions: { origins: ['https://canary.example'], ips: ['203.0.113.64/29'], scopes: ['a:read'] },
  });
  const caller = api.as(await createKey(api, '/v1/api-keys', verifying));
  for (const body of [{}, { origin: 'https://evil.example', ip: '198.51.100.1', scopes: ['b:read'] }]) {
    const { text } = await explain(key.secret, body, caller);
    expect(text).not.toMatch(/canary|203\.0\.113/);
  }
  const lacking = await issuer.createKey();
  const refused = await api.as(lacking).post('/v1/keys/verify', { key: key.secret, explain: true });
  expect([refused.status, refused.body.code]).toEqual([403, 'permission_denied']);
});

test('is counted nowhere and leaves no trace', async () => {
  const key = await issuer.createKey();
  const rows = await Rows.open(server.database);
  const traces = async () => ({
    counts: [...server.running.services.counters.read()].map((counter) => ({ ...counter })),
    events: await rows.query('select count(*) from events'),
    lastUsed: await rows.query('select last_used_at from api_keys where id = $1', [key.id]),
  });
  const before = await traces();
  for (let asked = 0; asked < 3; asked++) {
    await explain(key.secret, { origin: 'https://a.example' });
    await explain(madeUp);
  }
  expect(await traces()).toEqual(before);
  await rows.close();
});

test('explains as verify decides, whatever is asked about whichever key', async () => {
  const strict = await TestIssuer.create(
    server,
    { preset: 'tenant-header' },
    { publishable_scopes: ['a:read'] },
  );
  const suspended = await TestIssuer.create(server);
  const [acme, globex] = [
    await issuer.createOrganization({ external_id: 'acme' }),
    await issuer.createOrganization({ external_id: 'globex' }),
  ];
  const restrictions = {
    origins: ['https://a.example'],
    ips: ['203.0.113.0/24'],
    scopes: ['a:read', 'b:read'],
  };
  const keys: TestKey[] = [
    await issuer.createKey(),
    await issuer.createKey({ restrictions }),
    await issuer.createKey({ restrictions, environment: 'sandbox' }, acme.id),
    await issuer.createKey({ restrictions: { browsers: 'deny' } }, globex.id),
    await issuer.createKey({ expires_at: new Date(clock.nowMs() + 1000).toISOString() }),
    await strict.createKey({ restrictions }),
    await strict.createKey({ kind: 'publishable', restrictions: { scopes: ['a:read'] } }),
    await suspended.createKey(),
    await createKey(api, '/v1/api-keys'),
  ];
  succeeded(await api.post(`${issuer.path}/organizations/${globex.id}/suspend`));
  succeeded(await api.post(`${suspended.path}/suspend`));
  clock.advance(2);
  const secrets = [...keys.map(({ secret }) => secret), madeUp, 'x'];
  const body = fc.record(
    {
      key: fc.constantFrom(...secrets),
      origin: fc.constantFrom('https://a.example', 'https://b.example', 'null'),
      ip: fc.constantFrom('203.0.113.7', '198.51.100.1'),
      tenant: fc.constantFrom('acme', 'globex', acme.id, 'nobody'),
      environment: fc.constantFrom('live', 'sandbox'),
      scopes: fc.constantFrom(['a:read'], 'a:read OR c:read', 'a:read AND (b:read OR c:read)', []),
    },
    { requiredKeys: ['key'] },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(body, { minLength: 5, maxLength: 5 }), async (bodies) => {
      for (const asked of bodies) {
        const { key, ...rest } = asked;
        const { checks, limits: before, ...explained } = (await explain(key, rest)).body;
        expect(checks).toBeDefined();
        const { limits: after, ...decided } = (
          await api.post('/v1/keys/verify', { ...asked, request_id: 'r' })
        ).body;
        expect(explained).toEqual(decided);
        // The one consumes, the other does not.
        const names = (limits: { name: string }[]) => limits.map(({ name }) => name);
        expect(names(before)).toEqual(names(after));
      }
      const requests = bodies.map((asked) => ({ ...asked, request_id: 'r' }));
      const codes = async (explaining: boolean) => {
        const batch = requests.map((asked) => ({ ...asked, explain: explaining }));
        const { body: answer } = await api.post('/v1/keys/verify-batch', { requests: batch });
        return answer.data.map(({ code }: { code: string }) => code);
      };
      expect(await codes(true)).toEqual(await codes(false));
    }),
    { numRuns: scaled(40, 1_000) },
  );
});
