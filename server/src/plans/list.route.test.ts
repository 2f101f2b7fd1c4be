import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const path = '/v1/plans';

// Two of them at the same moment, so that their names have to tell them apart.
for (const moment of [['silver'], ['gold_1', 'Gold-2'], ['bronze', 'axb', 'a_b']]) {
  for (const name of moment) await api.create(path, { name });
  clock.advance(1);
}
const byCreation = ['silver', 'Gold-2', 'gold_1', 'a_b', 'axb', 'bronze'];
const byName = ['Gold-2', 'a_b', 'axb', 'bronze', 'gold_1', 'silver'];

const namesOf = (data: readonly { name: string }[]) => data.map(({ name }) => name);
const listed = async (query: string, as = api) =>
  namesOf(succeeded(await as.get(`${path}?${query}`)).body.data);

describe('200', () => {
  test('lists the plans of the account and of no other, newest first, each as it is read', async () => {
    const stranger = await createCustomer(server);
    await stranger.api.create(path, { name: 'theirs' });
    expect(await listed('')).toEqual(byCreation.toReversed());
    expect(await listed('', stranger.api)).toEqual(['theirs']);
    const [first] = (await api.get(path)).body.data;
    expect(first).toEqual((await api.get(`${path}/${first.name}`)).body.data);
  });

  test.each([
    ['created_at', byCreation],
    ['-created_at', byCreation.toReversed()],
    ['name', byName],
    ['-name', byName.toReversed()],
  ])('by %s, at once and page by page', async (sort, expected) => {
    expect(await listed(`sort=${sort}`)).toEqual(expected);
    for (const limit of [1, 2, 4]) {
      const found: string[] = [];
      let query = `sort=${sort}&limit=${limit}`;
      for (let page = 0; page < Math.ceil(expected.length / limit); page++) {
        const { body } = succeeded(await api.get(`${path}?${query}`));
        found.push(...namesOf(body.data));
        expect(body.has_more).toBe(found.length < expected.length);
        query = `sort=${sort}&limit=${limit}&cursor=${body.next_cursor}`;
      }
      expect(found).toEqual(expected);
    }
  });

  test('searches a part of the name in any case, whose wildcards mean themselves', async () => {
    expect(await listed('search=GOLD')).toEqual(['gold_1', 'Gold-2']);
    expect(await listed('search=a_b')).toEqual(['a_b']);
    expect(await listed('search=%25')).toEqual([]);
    expect(await listed('search=gold&sort=name&limit=1')).toEqual(['Gold-2']);
  });

  // As exact as a page's end can be told: the plans of the first start have microseconds.
  test('the operator’s plans, made by the first start, are paged through as well', async () => {
    const { api: operator } = server.operator;
    for (const sort of ['created_at', '-created_at', 'name']) {
      const { body } = succeeded(await operator.get(`${path}?sort=${sort}&limit=1`));
      const next = await listed(`sort=${sort}&limit=1&cursor=${body.next_cursor}`, operator);
      expect([...namesOf(body.data), ...next].toSorted()).toEqual(['default', 'unlimited']);
    }
  });
});

describe('403', () => {
  test('for a key without the permission', async () => {
    const writer = await withScopes(api, ['gatelodge.plans:write', 'gatelodge.account:read']);
    const answer = await writer.get(path);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  test('for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answer = await sandbox.get(path);
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });
});

describe('422', () => {
  test.each(['limit=0', 'limit=101', 'sort=limits', 'cursor=x', 'search=', 'name=gold'])(
    '%s',
    async (query) => {
      const answer = await api.get(`${path}?${query}`);
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    },
  );

  test('a cursor of another order, filter or account', async () => {
    const { next_cursor: cursor } = (await api.get(`${path}?limit=1`)).body;
    const stranger = await createCustomer(server);
    for (const [as, query] of [
      [api, 'sort=name'],
      [api, 'search=gold'],
      [stranger.api, ''],
    ] as const) {
      const answer = await as.get(`${path}?${query}&cursor=${cursor}`);
      expect(answer.body.errors).toContainEqual(expect.objectContaining({ code: 'invalid_cursor' }));
    }
  });
});
