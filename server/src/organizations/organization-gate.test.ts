import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { HeldRows } from '../../test/harness/held-rows.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
const held = await HeldRows.open(server.database);
afterEach(() => held.release());
afterAll(async () => {
  await held.close();
  await server.close();
});

/** An organization whose first member's next change stands at a lock, with what it has locked by then. */
async function situation() {
  const { api } = await createCustomer(server);
  const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
  const base = `/v1/issuers/${issuer.id}`;
  const { id } = await api.create(`${base}/organizations`, { name: 'Tenant' });
  const path = `${base}/organizations/${id}`;
  const users: string[] = [];
  for (const name of ['a', 'b']) {
    const user = await api.create(`${base}/users`, { username: `${name}@example.com` });
    await api.create(`${path}/members`, { member_id: user.id, scopes: ['a:b'] });
    users.push(user.id);
  }
  const tenant = await withScopes(api, ['gatelodge.members:write'], `${path}/api-keys`);
  const change = (at: number) => tenant.patch(`${path}/members/${users[at]}`, { scopes: ['c:d'] });
  await held.holdUser(users[0]!);
  const first = change(0);
  await held.waiting(1);
  return { api, id, path, users, first, changeAnother: () => change(1) };
}

// The attack: a tenant keeps writing members with its own key. Each shares the row with the one before, so whoever wants it
// alone, the owner who would suspend the tenant, waits until the statement is given up.
test.each<
  [string, number, string | undefined, (api: ApiClient, path: string) => ReturnType<ApiClient['get']>]
>([
  ['suspended', 200, 'tenant_suspended', (api, path) => api.post(`${path}/suspend`)],
  ['deleted', 204, 'not_found', (api, path) => api.delete(path)],
  [
    'given a group',
    201,
    undefined,
    (api, path) => api.post(`${path}/groups`, { name: 'G', scopes: ['a:b'] }),
  ],
])(
  'members that are written after an organization is to be %s wait until it is',
  async (_what, status, code, act) => {
    const { api, path, first, changeAnother } = await situation();
    const acting = act(api, path);
    await held.waiting(2);
    const another = changeAnother();
    // The other member is nobody's, so all that this one can wait for is its turn.
    await held.waiting(3);
    // Who has not waited for long is not asked again who it is.
    await sleep(100);
    await held.release();
    expect((await first).status).toBe(200);
    expect((await acting).status).toBe(status);
    // Its caller is the organization's own key.
    expect((await another).body.code).toBe(code);
  },
);

// The attack: an id is in logs and addresses. Whoever learns one keeps its owner waiting, from an account of their own.
test('nobody comes to the gate of an organization that is not below the issuer of the path', async () => {
  const { api, id, path, users, first } = await situation();
  const suspending = api.post(`${path}/suspend`);
  await held.waiting(2);
  for (const elsewhere of [api, (await createCustomer(server)).api]) {
    const issuer = await elsewhere.create('/v1/issuers', { name: 'Another' });
    const guessed = `/v1/issuers/${issuer.id}/organizations/${id}`;
    const answers = [
      await elsewhere.post(`${guessed}/suspend`),
      await elsewhere.post(`${guessed}/groups`, { name: 'G', scopes: ['a:b'] }),
      await elsewhere.patch(`${guessed}/members/${users[1]}`, { scopes: ['a:b'] }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
  }
  await held.release();
  expect([(await first).status, (await suspending).status]).toEqual([200, 200]);
});
