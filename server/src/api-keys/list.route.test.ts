import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

// What all lists have in common is tested in http/listing.test.ts.

const clock = new TestClock();
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api, key: firstKey } = await createCustomer(server);
const levels = await apiKeyLevels(api);
const inAMinute = new Date(clock.nowMs() + 60_000).toISOString();

const listed = async (path: string, query = '', as = api) =>
  succeeded(await as.get(`${path}?${query}`)).body.data.map(({ id }: { id: string }) => id);

describe.each(levels)('the keys of the $level', ({ level, path }) => {
  test('are those of this level only, newest first, each as it is read', async () => {
    const key = await createKey(api, path);
    const ids = await listed(path);
    expect(ids[0]).toBe(key.id);
    expect(ids.includes(firstKey.id)).toBe(level === 'account');
    const [first] = (await api.get(path)).body.data;
    expect(first).toEqual((await api.get(key.path)).body.data);
    for (const other of levels)
      expect((await listed(other.path)).includes(key.id)).toBe(other.level === level);
  });

  test('can be filtered by status, kind, environment and a part of the name, also all at once', async () => {
    const kind = level === 'account' ? 'secret' : 'publishable';
    const made = {
      active: await createKey(api, path, { name: `f-active ${level}`, expires_at: inAMinute }),
      disabled: await createKey(api, path, { name: `f-disabled ${level}`, environment: 'sandbox' }),
      revoked: await createKey(api, path, { name: `f-revoked ${level}`, kind }),
    };
    succeeded(await api.post(`${made.disabled.path}/disable`));
    succeeded(await api.post(`${made.revoked.path}/revoke`));
    const found = (query: string) => listed(path, `search=f-&${query}`);
    const { active, disabled, revoked } = made;
    expect(await found('')).toEqual([revoked.id, disabled.id, active.id]);
    expect(await found('status=active')).toEqual([active.id]);
    expect(await found('status=disabled')).toEqual([disabled.id]);
    expect(await found('status=revoked')).toEqual([revoked.id]);
    expect(await found('environment=sandbox')).toEqual([disabled.id]);
    expect(await found('environment=live&status=revoked')).toEqual([revoked.id]);
    expect(await found(`kind=${kind}`)).toEqual(
      level === 'account' ? [revoked.id, disabled.id, active.id] : [revoked.id],
    );
    expect(await listed(path, 'search=F-DISABLED&status=disabled&environment=sandbox')).toEqual([
      disabled.id,
    ]);
    expect(await listed(path, 'search=f-disabled&status=active')).toEqual([]);
  });

  test.each(['status=gone', 'kind=private', 'environment=test', 'hint=x'])(
    '422: for the filter %s',
    async (query) => {
      expect((await api.get(`${path}?${query}`)).status).toBe(422);
    },
  );
});

test('a key that has expired is listed as that and no longer as active', async () => {
  const { path } = levels[0]!;
  const key = await createKey(api, path, { name: 'e-', expires_at: inAMinute });
  const disabled = await createKey(api, path, { name: 'e-', expires_at: inAMinute });
  succeeded(await api.post(`${disabled.path}/disable`));
  expect(await listed(path, 'search=e-&status=expired')).toEqual([]);
  clock.advance(60);
  expect(await listed(path, 'search=e-&status=active')).toEqual([]);
  expect(await listed(path, 'search=e-&status=expired')).toEqual([key.id]);
  // What somebody did outranks what time did.
  expect(await listed(path, 'search=e-&status=disabled')).toEqual([disabled.id]);
  const statuses = (await api.get(`${path}?search=e-`)).body.data.map(
    ({ status }: { status: string }) => status,
  );
  expect(statuses).toEqual(['disabled', 'expired']);
});
