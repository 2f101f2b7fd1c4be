import { afterAll, describe, expect, test } from 'vitest';
import { waitFor } from '../../test/harness/process.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { ClientDirectory } from './client-directory.ts';
import { countingDirectory, newScene } from './fixtures/client-scene.ts';

const one = await startTestServer();
afterAll(() => one.close());
await waitFor(() => one.running.services.freshness.isFresh() || undefined);

/** Asks for all of them at the same time, as requests do. */
const findAll = (clients: ClientDirectory, issuerId: string, ids: readonly string[]) =>
  Promise.all(ids.map(async (id) => clients.find(issuerId, id)));

test('a client is found in its issuer, whole, and in no other; what can’t be an id costs no SQL', async () => {
  const scene = await newScene(one);
  const { clients, counted } = countingDirectory(one);
  const resource = (await scene.customer.api.get(scene.path)).body.data;
  const record = await clients.find(scene.issuerId, scene.clientId);
  expect(record).toMatchObject({
    id: scene.clientId,
    accountId: scene.customer.id,
    issuerId: scene.issuerId,
    type: 'external',
    confidential: true,
    isRegistered: false,
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
  for (const id of ['', 'otp', 'c_', 'x'.repeat(10_000), `${scene.clientId}\0`, scene.clientId.toUpperCase()])
    expect(clients.find(scene.issuerId, id)).toBeNull();
  expect(counted.queries).toBe(1);
});

describe('memory', () => {
  test('what is held costs no SQL, until something that it tells of changes', async () => {
    const [scene, bystander] = [await newScene(one), await newScene(one)];
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
    const scene = await newScene(one);
    const { clients, counted } = countingDirectory(one);
    const found = await findAll(clients, scene.issuerId, Array(100).fill(scene.clientId));
    expect(new Set(found.map((client) => client?.id))).toEqual(new Set([scene.clientId]));
    expect(counted.queries).toBe(1);
  });

  // Attack: made-up ids without end, to fill the memory and take every connection.
  test('made-up ids are bounded: by turns of their issuer, and in memory', async () => {
    const scene = await newScene(one);
    const { clients, counted } = countingDirectory(one);
    const made = Array.from({ length: 100 }, () => newId(idPrefixes.client));
    const asked = await findAll(clients, scene.issuerId, made);
    expect(new Set(asked)).toEqual(new Set([null]));
    expect([counted.queries, counted.most]).toEqual([100, 2]);
    expect(clients.size).toBe(0);
    // The same again is answered from memory, for a moment.
    expect(await clients.find(scene.issuerId, made[0]!)).toBeNull();
    // And in the middle of a flood a client of another issuer is found.
    const victim = await newScene(one);
    const flood = findAll(
      clients,
      scene.issuerId,
      Array.from({ length: 1_000 }, () => newId(idPrefixes.client)),
    ).then(
      () => 'ended',
      (error: Error) => error.message,
    );
    const found = await clients.find(victim.issuerId, victim.clientId);
    expect(found?.id).toBe(victim.clientId);
    expect(await flood).toMatch(/ended|unavailable/);
  });
});
