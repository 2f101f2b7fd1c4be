import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const clock = new TestClock('2026-11-21T12:20:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const levels = await apiKeyLevels(api);

const minute = 60;
const hour = 60 * minute;
const now = () => clock.now().toISOString();

describe.each(levels)('the traffic of a rotated key of the $level', ({ path, issuerId, organizationId }) => {
  const use = (keyId: string, count: number, more: object = {}) =>
    meter(rows, [
      {
        ...{ accountId, keyId, issuerId: issuerId ?? null, organizationId: organizationId ?? null },
        ...{ count, at: clock.now(), ...more },
      },
    ]);
  const trafficOf = async (id: string) => succeeded(await api.get(`${path}/${id}`)).body.data.traffic;
  const rotate = async (id: string): Promise<string> =>
    (await api.create(`${path}/${id}/rotate`, { grace_seconds: 30 * 24 * 3600 })).id;
  const create = async (): Promise<string> => (await api.create(path, {})).id;

  test('is not told of a key that was not rotated, nor by lists', async () => {
    const id = await create();
    expect(await trafficOf(id)).toBeUndefined();
    const { data } = (await api.get(`${path}?limit=1`)).body;
    expect(Object.keys(data[0])).not.toContain('traffic');
  });

  test('is shared between it and its successor, from the moment of the rotation', async () => {
    const old = await create();
    await use(old, 50);
    const next = await rotate(old);
    const since = now();
    expect(await trafficOf(old)).toEqual({ share: null, total: 0, since });
    await use(old, 1);
    clock.advance(minute);
    await use(next, 2);
    await use(next, 1, { code: 'RATE_LIMITED' });
    expect(await trafficOf(old)).toEqual({ share: 0.25, total: 4, since });
    expect(await trafficOf(next)).toEqual({ share: 0.75, total: 4, since });
    clock.advance(2 * hour);
    await use(old, 1, { isManagement: true });
    await use(old, 3);
    expect(await trafficOf(old)).toEqual({ share: 0.625, total: 8, since });
  });

  test('is that of the last 24 hours, from the beginning of the hour, once the rotation is longer ago', async () => {
    const old = await create();
    await use(old, 9);
    const next = await rotate(old);
    await use(old, 5);
    clock.advance(24 * hour);
    await use(next, 4);
    const [day] = await rows.query<{ since: Date }>(
      `select date_trunc('hour', $1::timestamptz - interval '24 hours') as since`,
      [clock.now()],
    );
    // The beginning of that hour lies before the rotation.
    expect((await trafficOf(old)).total).toBe(9);
    expect(day!.since.getTime()).toBeLessThan(clock.nowMs() - 24 * hour * 1000);
    clock.advance(hour);
    const since = new Date(day!.since.getTime() + hour * 1000).toISOString();
    expect(await trafficOf(old)).toEqual({ share: 0, total: 4, since });
    expect(await trafficOf(next)).toEqual({ share: 1, total: 4, since });
    clock.advance(48 * hour);
    expect(await trafficOf(next)).toMatchObject({ share: null, total: 0 });
  });

  test('of a key in the middle of a line is that with the one after it; it ends with the other key', async () => {
    const first = await create();
    const second = await rotate(first);
    await use(first, 3);
    const third = await rotate(second);
    await use(second, 1);
    await use(third, 1);
    expect(await trafficOf(second)).toMatchObject({ share: 0.5, total: 2 });
    expect(await trafficOf(first)).toMatchObject({ share: 0.75, total: 4 });
    succeeded(await api.delete(`${path}/${third}`));
    expect(await trafficOf(second)).toBeUndefined();
  });
});
