import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

// The attack: whoever holds a key sends the headers of a creation and keeps the body back. The owner revokes the key.
// Then the body comes, and a server that knows its caller since the headers makes the thief a new key.
const theft = { name: 'thief', restrictions: { scopes: ['gatelodge.api-keys:write'] } };

async function holdBack(key: TestKey, path: string, content: unknown = theft, forMs = 150) {
  const body = JSON.stringify(content);
  const request = httpRequest(server.url + path, {
    method: 'POST',
    agent: false,
    headers: {
      Authorization: `Bearer ${key.secret}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    },
  });
  request.write(body.slice(0, 5));
  // Long enough for the headers to arrive and be judged; were it not, the answer would be a refusal all the same.
  await sleep(forMs);
  return async () => {
    request.end(body.slice(5));
    const [response] = await once(request, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode as number, body: JSON.parse(Buffer.concat(chunks).toString()) };
  };
}

async function situation() {
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, customer.api);
  const organization = await issuer.createOrganization();
  const restrictions = { scopes: ['gatelodge.api-keys:write'] };
  const key = await issuer.createKey(
    { restrictions, expires_at: new Date(clock.nowMs() + 3_600_000).toISOString() },
    organization.id,
  );
  return { customer, issuer, organization, key, path: key.path.replace(/\/[^/]*$/, '') };
}

describe('a request whose body comes after its caller has', () => {
  const cases: [string, string, (world: Awaited<ReturnType<typeof situation>>) => Promise<unknown>][] = [
    [
      'been revoked',
      'revoked_key',
      async ({ customer, key }) => succeeded(await customer.api.post(`${key.path}/revoke`)),
    ],
    [
      'been disabled',
      'disabled_key',
      async ({ customer, key }) => succeeded(await customer.api.post(`${key.path}/disable`)),
    ],
    ['been deleted', 'invalid_key', async ({ customer, key }) => customer.api.delete(key.path)],
    [
      'lost the permission',
      'permission_denied',
      async ({ customer, key }) =>
        succeeded(await customer.api.patch(key.path, { restrictions: { scopes: [] } })),
    ],
    [
      'seen its tenant suspended',
      'tenant_suspended',
      async ({ customer, issuer, organization }) =>
        succeeded(await customer.api.post(`${issuer.path}/organizations/${organization.id}/suspend`)),
    ],
    [
      'seen its issuer suspended',
      'issuer_suspended',
      async ({ customer, issuer }) => succeeded(await customer.api.post(`${issuer.path}/suspend`)),
    ],
    [
      'seen its tenant deleted',
      'invalid_key',
      async ({ customer, issuer, organization }) =>
        succeeded(await customer.api.delete(`${issuer.path}/organizations/${organization.id}`)),
    ],
    [
      'seen its issuer deleted',
      'invalid_key',
      async ({ customer, issuer }) => customer.api.delete(issuer.path),
    ],
    [
      'seen its account suspended',
      'account_suspended',
      async ({ customer }) =>
        succeeded(await server.operator.api.post(`/v1/accounts/${customer.id}/suspend`)),
    ],
    [
      'been bound to other addresses',
      'ip_not_allowed',
      async ({ customer, key }) =>
        succeeded(await customer.api.patch(key.path, { restrictions: { ips: ['203.0.113.0/24'] } })),
    ],
    [
      'been made to need an origin',
      'origin_not_allowed',
      async ({ customer, key }) =>
        succeeded(await customer.api.patch(key.path, { restrictions: { require_origin: true } })),
    ],
    ['expired', 'expired_key', async () => clock.advance(3_600)],
  ];
  test.each(cases)('%s is refused as %s and makes nothing', async (_name, code, end) => {
    const world = await situation();
    const finish = await holdBack(world.key, world.path);
    await end(world);
    const answer = await finish();
    expect(answer.body.code).toBe(code);
    const made = await rows.query(`select id from api_keys where account_id = $1 and name = 'thief'`, [
      world.customer.id,
    ]);
    expect(made).toEqual([]);
  });
});

test('a key that ends itself is answered: revoke, disable and delete of one’s own key work', async () => {
  const { customer, path } = await situation();
  const restrictions = { scopes: ['gatelodge.api-keys:write'] };
  for (const [verb, status] of [
    ['revoke', 200],
    ['disable', 200],
    ['', 204],
  ] as const) {
    const own = await createKey(customer.api, path, { restrictions });
    const api = customer.api.as(own);
    const answer = verb === '' ? await api.delete(own.path) : await api.post(`${own.path}/${verb}`);
    expect(answer.status).toBe(status);
  }
});

// The attack: the key is revoked while its creation waits in the database for a row that somebody else holds.
test('a creation that had to wait is undone where its caller was revoked meanwhile', async () => {
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, customer.api);
  const organization = await issuer.createOrganization();
  const restrictions = { scopes: ['gatelodge.api-keys:write'] };
  const key = await issuer.createKey({ restrictions });
  const path = `${issuer.path}/organizations/${organization.id}/api-keys`;
  const holder = new pg.Client({ connectionString: server.database.superuserUrl });
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from gatelodge.organizations where id = $1 for update', [organization.id]);
  const making = customer.api.as(key).post(path, { name: 'thief', restrictions });
  await expect
    .poll(async () => {
      const waiting = await rows.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      return waiting.length;
    })
    .toBe(1);
  // As long as nobody can say any more that it came before the revocation.
  await sleep(100);
  succeeded(await customer.api.post(`${key.path}/revoke`));
  await holder.query('rollback');
  await holder.end();
  const answer = await making;
  expect([answer.status, answer.body.code]).toEqual([401, 'revoked_key']);
  expect((await customer.api.get(path)).body.data).toEqual([]);
});

describe('a verification whose body comes late', () => {
  test.each([
    ['/v1/keys/verify', (secret: string) => ({ key: secret })],
    ['/v1/keys/verify-batch', (secret: string) => ({ requests: [{ key: secret }] })],
  ])('%s is refused where the caller has lost keys:verify meanwhile', async (path, bodyOf) => {
    const customer = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, customer.api);
    const caller = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
    const subject = await issuer.createKey();
    const finish = await holdBack(caller, path, bodyOf(subject.secret), 400);
    succeeded(await customer.api.patch(caller.path, { restrictions: { scopes: [] } }));
    expect((await finish()).body.code).toBe('permission_denied');
  });
});
