import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { waitFor } from '../../test/harness/process.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { ClientDirectory } from './client-directory.ts';

/** The contract's: what one node has committed holds on every node that reaches Postgres. */
const boundMs = 1_000;

let one: TestServer;
let other: TestServer;
let proxy: PostgresProxy;
beforeAll(async () => {
  one = await startTestServer();
  proxy = await PostgresProxy.start(one.database.appUrl);
  other = await startTestServer({ nodeOf: one, env: { DATABASE_URL: proxy.url(one.database.appUrl) } });
  for (const { running } of [one, other])
    await waitFor(() => running.services.freshness.isFresh() || undefined);
});
afterAll(async () => {
  proxy.thaw();
  await other.close();
  await proxy.close();
  await one.close();
});

interface Scene {
  customer: Customer;
  issuerId: string;
  clientId: string;
  path: string;
  secret: string;
}

async function newScene(name = 'App'): Promise<Scene> {
  const customer = await createCustomer(one);
  const { id: issuerId } = await customer.api.create('/v1/issuers', { name: 'Acme' });
  return { customer, issuerId, ...(await newClient(customer, issuerId, name)) };
}

async function newClient(customer: Customer, issuerId: string, name: string) {
  const { id, secret } = await customer.api.create(`/v1/issuers/${issuerId}/clients`, {
    name,
    settings: { openid: { redirect_uris: ['https://app.example.com/callback'] } },
  });
  return { clientId: id as string, secret: secret as string, path: `/v1/issuers/${issuerId}/clients/${id}` };
}

/** What a node says of a client, in a word. */
async function said(node: TestServer, { issuerId, clientId, secret }: Scene): Promise<string> {
  const { clients } = node.running.services;
  const client = await clients.find(issuerId, clientId);
  if (client === null) return 'none';
  if (client.accountStatus !== 'active') return `account ${client.accountStatus}`;
  if (client.issuerStatus !== 'active') return `issuer ${client.issuerStatus}`;
  const verdict = clients.verifySecret(client, secret) ? 'secret' : 'no secret';
  return `${client.status}, ${verdict}, ${client.name}, ${client.settings.openid.pkce}`;
}

/** A directory beside the node's own that tells how often it asks Postgres. */
function countingDirectory(node: TestServer) {
  const { lookupPool, cache, freshness, secrets, clock } = node.running.services;
  const counted = { queries: 0, parallel: 0, most: 0 };
  const pool = new Proxy(lookupPool, {
    get: (target, name) => {
      if (name !== 'query') return Reflect.get(target, name);
      return async (query: pg.QueryConfig) => {
        counted.queries++;
        counted.most = Math.max(counted.most, ++counted.parallel);
        return target.query(query).finally(() => counted.parallel--);
      };
    },
  });
  const clients = new ClientDirectory({ pool, cache, freshness, secrets, nowMs: () => clock.nowMs() });
  return { clients, counted };
}

test('a client is found in its issuer, whole, and in no other; what can’t be an id costs no SQL', async () => {
  const scene = await newScene();
  const { clients, counted } = countingDirectory(one);
  const resource = (await scene.customer.api.get(scene.path)).body.data;
  const record = await clients.find(scene.issuerId, scene.clientId);
  expect(record).toMatchObject({
    id: scene.clientId,
    accountId: scene.customer.id,
    issuerId: scene.issuerId,
    type: 'external',
    confidential: true,
    settings: resource.settings,
    status: 'active',
    issuerStatus: 'active',
    environment: 'live',
    accountStatus: 'active',
    secrets: [{ generation: 1, expiresAtMs: null }],
  });
  // Attack: a client of another tenant, at an issuer of the attacker's.
  expect(await clients.find(one.demo.issuerId, scene.clientId)).toBeNull();
  expect(await clients.find(scene.issuerId, scene.clientId)).toBe(record);
  expect(counted.queries).toBe(1);
  for (const id of [
    '',
    'otp',
    'cli_',
    'x'.repeat(10_000),
    `${scene.clientId}\0`,
    scene.clientId.toUpperCase(),
  ])
    expect(clients.find(scene.issuerId, id)).toBeNull();
  expect(counted.queries).toBe(1);
});

describe('a change made on one node', () => {
  const changes: [string, (scene: Scene) => Promise<unknown>, string][] = [
    [
      'suspended',
      ({ customer, path }) => customer.api.post(`${path}/suspend`),
      'suspended, secret, App, required',
    ],
    [
      'changed',
      ({ customer, path }) =>
        customer.api.patch(path, { name: 'New', settings: { openid: { pkce: 'optional' } } }),
      'active, secret, New, optional',
    ],
    [
      'given another secret',
      ({ customer, path }) => customer.api.post(`${path}/rotate-secret`, { grace_seconds: 0 }),
      'active, no secret, App, required',
    ],
    ['deleted', ({ customer, path }) => customer.api.delete(path), 'none'],
    [
      'of a suspended issuer',
      ({ customer, issuerId }) => customer.api.post(`/v1/issuers/${issuerId}/suspend`),
      'issuer suspended',
    ],
    [
      'of a deleted issuer',
      ({ customer, issuerId }) => customer.api.delete(`/v1/issuers/${issuerId}`),
      'none',
    ],
    [
      'of a suspended account',
      ({ customer }) => one.operator.api.post(`/v1/accounts/${customer.id}/suspend`),
      'account suspended',
    ],
  ];

  // Attack: a client is stolen, its owner stops it on one node, and the thief goes on at another one.
  test.each([
    ['nothing is wrong', () => {}],
    ['the other node can’t listen any more', () => proxy.refuseOnly('gatelodge changes')],
  ])(
    'holds there when the call returns, and on the other within a second, when %s',
    async (_name, breakIt) => {
      const scenes = await Promise.all(changes.map(() => newScene()));
      for (const node of [one, other, one, other])
        expect(new Set(await Promise.all(scenes.map((scene) => said(node, scene))))).toEqual(
          new Set(['active, secret, App, required']),
        );
      breakIt();
      const outcomes = await Promise.all(
        changes.map(async ([name, change, expected], at) => {
          const scene = scenes[at]!;
          succeeded((await change(scene)) as Parameters<typeof succeeded>[0]);
          const answeredAt = performance.now();
          const here = await said(one, scene);
          await sleep(answeredAt + boundMs - performance.now());
          return [name, here, await said(other, scene), expected];
        }),
      );
      proxy.thaw();
      expect(outcomes.map(([name, here, there]) => [name, here, there])).toEqual(
        outcomes.map(([name, , , expected]) => [name, expected, expected]),
      );
      await expect.poll(() => other.running.services.freshness.mode, { timeout: 20_000 }).toBe('fresh');
    },
  );

  // Attack: the record is read just before the change and comes to be kept just after its notice.
  test('is outlived by no fill of memory that races it', async () => {
    const customer = await createCustomer(one);
    const { id: issuerId } = await customer.api.create('/v1/issuers', { name: 'Acme' });
    let raced = 0;
    for (let round = 0; round < scaled(2, 40); round++) {
      const scenes = await Promise.all(
        Array.from({ length: 20 }, async () => ({
          customer,
          issuerId,
          ...(await newClient(customer, issuerId, 'racing client')),
        })),
      );
      const racing = new AbortController();
      const delaying = (async () => {
        while (!racing.signal.aborted) {
          proxy.holdBack('racing client');
          await sleep(Math.random() * 100);
          proxy.thaw();
          await sleep(Math.random() * 30);
        }
      })();
      const outcomes = await Promise.all(
        scenes.map(async (scene) => {
          await sleep(Math.random() * 200);
          const suspending = customer.api.post(`${scene.path}/suspend`);
          await sleep(Math.random() * 10);
          const asking = said(other, scene).catch(() => 'unavailable');
          succeeded(await suspending);
          const answeredAt = performance.now();
          if ((await asking).startsWith('active')) raced++;
          await sleep(answeredAt + boundMs - performance.now());
          return said(other, scene).catch(() => 'unavailable');
        }),
      );
      racing.abort();
      await delaying;
      proxy.thaw();
      expect(outcomes.filter((each) => each.startsWith('active'))).toEqual([]);
    }
    expect(raced).toBeGreaterThan(0);
  });
});

describe('memory', () => {
  test('what is held costs no SQL, until something that it tells of changes', async () => {
    const [scene, bystander] = [await newScene(), await newScene()];
    const { clients, counted } = countingDirectory(one);
    await clients.find(scene.issuerId, scene.clientId);
    await clients.find(bystander.issuerId, bystander.clientId);
    for (let times = 0; times < 100; times++)
      expect(clients.find(scene.issuerId, scene.clientId)).not.toBeInstanceOf(Promise);
    expect(counted.queries).toBe(2);
    succeeded(await bystander.customer.api.patch(bystander.path, { name: 'Noisy neighbour' }));
    expect(clients.find(scene.issuerId, scene.clientId)).not.toBeInstanceOf(Promise);
    expect(clients.find(bystander.issuerId, bystander.clientId)).toBeInstanceOf(Promise);
  });

  test('one read serves all who ask at the same time', async () => {
    const scene = await newScene();
    const { clients, counted } = countingDirectory(one);
    const found = await Promise.all(
      Array.from({ length: 100 }, () => clients.find(scene.issuerId, scene.clientId)),
    );
    expect(new Set(found.map((client) => client?.id))).toEqual(new Set([scene.clientId]));
    expect(counted.queries).toBe(1);
  });

  // Attack: made-up ids without end, to fill the memory and take every connection.
  test('made-up ids are bounded: by turns of their issuer, and in memory', async () => {
    const scene = await newScene();
    const { clients, counted } = countingDirectory(one);
    const made = Array.from({ length: 100 }, () => newId(idPrefixes.client));
    const asked = await Promise.all(made.map((id) => clients.find(scene.issuerId, id)));
    expect(new Set(asked)).toEqual(new Set([null]));
    expect([counted.queries, counted.most]).toEqual([100, 2]);
    expect(clients.size).toBe(0);
    // The same again is answered from memory, for a moment.
    expect(await clients.find(scene.issuerId, made[0]!)).toBeNull();
    // And in the middle of a flood a client of another issuer is found.
    const victim = await newScene();
    const flood = Promise.all(
      Array.from({ length: 1_000 }, () => clients.find(scene.issuerId, newId(idPrefixes.client))),
    );
    const found = await clients.find(victim.issuerId, victim.clientId);
    expect(found?.id).toBe(victim.clientId);
    expect(
      await flood.then(
        () => 'ended',
        (error: Error) => error.message,
      ),
    ).toMatch(/ended|unavailable/);
  });
});

describe('while Postgres is away', () => {
  test('a node goes on with the clients that it knows, and answers 503 for others', async () => {
    const [known, unknown] = [await newScene(), await newScene()];
    expect(await said(other, known)).toBe('active, secret, App, required');
    await proxy.refuse();
    await expect.poll(() => other.running.services.freshness.mode, { timeout: 20_000 }).not.toBe('fresh');
    await expect.poll(() => said(other, known).catch(String), { timeout: 20_000 }).toMatch(/^active/);
    await expect(said(other, unknown)).rejects.toMatchObject({ code: 'unavailable', status: 503 });
    succeeded(await known.customer.api.post(`${known.path}/suspend`));
    await proxy.open();
    await expect.poll(() => other.running.services.freshness.mode, { timeout: 20_000 }).toBe('fresh');
    expect(await said(other, known)).toMatch(/^suspended/);
    expect(await said(other, unknown)).toMatch(/^active/);
  });
});
