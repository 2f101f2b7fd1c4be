import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { ApiAnswer } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { HeldRows } from '../../test/harness/held-rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const held = await HeldRows.open(server.database);
afterEach(() => held.release());
afterAll(async () => {
  await held.close();
  await server.close();
});

const inAnHour = () => new Date(clock.nowMs() + 3_600_000).toISOString();

/** An issuer with a member, and a key of it that lives for an hour. */
async function situation(scopes: readonly string[]) {
  const { id: accountId, api } = await createCustomer(server);
  const { id: issuerId } = await api.create('/v1/issuers', { name: 'Acme API' });
  const base = `/v1/issuers/${issuerId}`;
  const { id: organizationId } = await api.create(`${base}/organizations`, { name: 'Tenant' });
  const own = `${base}/organizations/${organizationId}`;
  const { id: userId } = await api.create(`${base}/users`, { username: 'a@example.com' });
  await api.create(`${own}/members`, { member_id: userId, scopes: ['a:b'] });
  const key = await createKey(api, `${base}/api-keys`, { restrictions: { scopes }, expires_at: inAnHour() });
  return { accountId, api, issuerId, base, organizationId, own, userId, key, caller: api.as(key) };
}
type World = Awaited<ReturnType<typeof situation>>;

/** Resolves once the request waits, so long that nobody can say it came before what comes now. */
async function underWay(request: Promise<ApiAnswer>): Promise<() => Promise<ApiAnswer>> {
  await held.waiting(1);
  await sleep(100);
  return async () => {
    await held.release();
    return request;
  };
}

// The attack: whoever holds a key has a request wait at a lock, of a row that other requests of theirs keep locked. The owner
// puts the key out of use, every next request of it is refused, and then the one that waited is carried out.
describe('a change that waited is undone where its caller has meanwhile', () => {
  const restrict = (restrictions: object) => async (world: World) =>
    void succeeded(await world.api.patch(world.key.path, { restrictions }));
  const cases: [string, string, (world: World) => Promise<unknown>][] = [
    ['been revoked', 'revoked_key', async ({ api, key }) => succeeded(await api.post(`${key.path}/revoke`))],
    ['been deleted', 'invalid_key', async ({ api, key }) => succeeded(await api.delete(key.path))],
    ['lost the permission', 'permission_denied', restrict({ scopes: ['gatelodge.members:read'] })],
    ['been bound to other addresses', 'ip_not_allowed', restrict({ ips: ['203.0.113.0/24'] })],
    ['been made to need an origin', 'origin_not_allowed', restrict({ require_origin: true })],
    ['expired', 'expired_key', async () => clock.advance(3_600)],
    [
      'seen its issuer suspended',
      'issuer_suspended',
      async ({ api, base }) => succeeded(await api.post(`${base}/suspend`)),
    ],
    ['seen its issuer deleted', 'not_found', async ({ api, base }) => succeeded(await api.delete(base))],
    [
      'seen its account suspended',
      'account_suspended',
      async ({ accountId }) => succeeded(await server.operator.api.post(`/v1/accounts/${accountId}/suspend`)),
    ],
  ];
  test.each(cases)('%s (%s)', async (_name, code, end) => {
    const world = await situation(['gatelodge.members:write', 'gatelodge.members:read']);
    await held.holdUser(world.userId);
    const finish = await underWay(
      world.caller.patch(`${world.own}/members/${world.userId}`, { scopes: ['stolen:all'] }),
    );
    await end(world);
    expect((await finish()).body.code).toBe(code);
  });
});

// The attack: as before, and what waits is a new key with all that the old one had.
describe('a key that waited to be made', () => {
  const scopes = ['gatelodge.api-keys:write', 'gatelodge.members:write'];
  const making = async (world: World, body: object) => {
    await held.holdRow('organizations', world.organizationId);
    return underWay(world.caller.post(`${world.own}/api-keys`, body));
  };

  test.each<[string, () => object]>([
    ['a scope', () => ({ restrictions: { scopes: ['gatelodge.api-keys:write'] } })],
    ['half its time', () => ({ expires_at: new Date(clock.nowMs() + 1_800_000).toISOString() })],
    ['other addresses', () => ({ restrictions: { ips: ['127.0.0.0/8', '::1/128'] } })],
  ])('has not what its maker has lost: %s', async (_what, change) => {
    const world = await situation(scopes);
    const power = { restrictions: { scopes: ['gatelodge.members:write'] }, expires_at: inAnHour() };
    const finish = await making(world, power);
    succeeded(await world.api.patch(world.key.path, change()));
    const answer = await finish();
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    expect((await world.api.get(`${world.own}/api-keys`)).body.data).toEqual([]);
  });

  test('is made all the same where nothing of it depends on what was lost, and once', async () => {
    const world = await situation(scopes);
    const finish = await making(world, { name: 'product' });
    succeeded(await world.api.patch(world.key.path, { restrictions: { scopes: [scopes[0]] } }));
    expect((await finish()).status).toBe(201);
    expect((await world.api.get(`${world.own}/api-keys`)).body.data).toHaveLength(1);
  });
});

describe('an issuer’s own key that waited for its issuer', () => {
  test.each([
    ['suspends', 200, (world: World) => world.caller.post(`${world.base}/suspend`)],
    ['deletes', 204, (world: World) => world.caller.delete(world.base)],
  ] as const)('%s it, which puts itself out of use', async (_verb, status, act) => {
    const world = await situation(['gatelodge.issuers:write']);
    await held.holdRow('issuers', world.issuerId);
    const finish = await underWay(act(world));
    expect((await finish()).status).toBe(status);
    expect((await world.caller.get('/v1/me')).status).not.toBe(200);
  });

  // The attack: whoever holds the key keeps activating the issuer, so that one of the requests waits behind the suspension.
  test('does not lift a suspension', async () => {
    const world = await situation(['gatelodge.issuers:write']);
    await held.holdRow('issuers', world.issuerId);
    const suspending = world.api.post(`${world.base}/suspend`);
    await held.waiting(1);
    const activating = world.caller.post(`${world.base}/activate`);
    await held.waiting(2);
    await held.release();
    expect((await suspending).status).toBe(200);
    expect((await activating).body.code).toBe('issuer_suspended');
    expect((await world.api.get(world.base)).body.data.status).toBe('suspended');
  });
});
