import { afterAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const levels = await apiKeyLevels(api);

const use = (keyId: string, at: string) => meter(rows, [{ accountId, keyId, at: new Date(at) }]);
const at = (minute: number) => `2026-11-21T12:${String(minute).padStart(2, '0')}:00.000Z`;

describe.each(levels)('last_used_at of a key of the $level', ({ path }) => {
  test('is null before the first time, then shown by every answer that shows the key', async () => {
    const { id } = await api.create(path, {});
    expect((await api.get(`${path}/${id}`)).body.data.last_used_at).toBeNull();
    await use(id, at(1));
    const answers = [
      await api.get(`${path}/${id}`),
      await api.patch(`${path}/${id}`, { name: 'x' }),
      await api.patch(`${path}/${id}`, {}),
      await api.post(`${path}/${id}/disable`),
      await api.post(`${path}/${id}/disable`),
    ];
    for (const answer of answers) expect(succeeded(answer).body.data.last_used_at).toBe(at(1));
    const { data } = (await api.get(`${path}?limit=100`)).body;
    expect(data.find((key: { id: string }) => key.id === id).last_used_at).toBe(at(1));
  });

  test('is no part of the ETag', async () => {
    const key = await createKey(api, path);
    const before = (await api.get(key.path)).headers.get('ETag')!;
    await use(key.id, at(2));
    const after = await api.get(key.path);
    expect(after.body.data.last_used_at).toBe(at(2));
    expect(after.headers.get('ETag')).toBe(before);
    succeeded(await api.patch(key.path, { name: 'x' }, { 'If-Match': before }));
  });
});

describe('a list by last_used_at', () => {
  const list = async (sort: string, as: ApiClient, path: string, limit = 2) => {
    const ids: string[] = [];
    for (let cursor = ''; ids.length < 100; ) {
      const { body } = succeeded(await as.get(`${path}?sort=${sort}&limit=${limit}${cursor}`));
      ids.push(...body.data.map(({ id }: { id: string }) => id));
      if (!body.has_more) return ids;
      cursor = `&cursor=${body.next_cursor}`;
    }
    throw new Error('the list has no end');
  };

  test('has the last used first and those that never were at its end, either way, page by page', async () => {
    const { id: issuerId } = await api.create('/v1/issuers', { name: 'x' });
    const path = `/v1/issuers/${issuerId}/api-keys`;
    const ids: string[] = [];
    for (let count = 0; count < 7; count++) ids.push((await createKey(api, path)).id);
    const [never, early, late, middle, alsoMiddle, alsoNever, latest] = ids as [
      ...[string, string, string, string, string, string, string],
    ];
    await use(early, at(10));
    await use(middle, at(20));
    await use(alsoMiddle, at(20));
    await use(late, at(30));
    // Postgres counts microseconds; a cursor does not.
    await rows.query(
      `insert into key_uses (key_id, account_id, last_used_at) values ($1, $2, '2026-11-21T12:40:00.123456Z')`,
      [latest, accountId],
    );
    const expected = [latest, late, alsoMiddle, middle, early, alsoNever, never];
    for (const limit of [1, 2, 3, 100]) {
      expect(await list('-last_used_at', api, path, limit)).toEqual(expected);
      expect(await list('last_used_at', api, path, limit)).toEqual(expected.toReversed());
    }
  });

  test('has a cursor of its own', async () => {
    const path = levels[0]!.path;
    const { next_cursor: cursor } = (await api.get(`${path}?sort=-last_used_at&limit=1`)).body;
    const answer = await api.get(`${path}?sort=last_used_at&limit=1&cursor=${cursor}`);
    expect([answer.status, answer.body.errors[0].code]).toEqual([422, 'invalid_cursor']);
  });
});
