import { afterAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';

// What all lists have in common. The filters of each stand beside its route.

const server = await startTestServer();
afterAll(() => server.close());
const { api: operator } = server.operator;
const { api } = await createCustomer(server);
const stranger = await createCustomer(server);

const names = ['100% sure', '100x sure', 'a_b', 'axb', 'back\\slash', 'Zebra', 'zebra', 'Äpfel'];
const issuer = `/v1/issuers/${(await api.create('/v1/issuers', { name: names[0] })).id}`;
const organization = `${issuer}/organizations/${(await api.create(`${issuer}/organizations`, { name: names[0] })).id}`;

interface List {
  path: string;
  as: ApiClient;
  create: (name: string) => Promise<unknown>;
  /** How many of `names` are there already. */
  has: number;
}
const plain = (path: string, has = 0): List => ({
  path,
  as: api,
  create: (name) => api.create(path, { name }),
  has,
});
const lists: List[] = [
  plain('/v1/issuers', 1),
  plain(`${issuer}/organizations`, 1),
  plain('/v1/api-keys'),
  plain(`${issuer}/api-keys`),
  plain(`${organization}/api-keys`),
  {
    path: '/v1/accounts',
    as: operator,
    create: (name) => operator.create('/v1/accounts', { name, owner_email: 'x@acme.test' }),
    has: 0,
  },
];
for (const { create, has } of lists) for (const name of names.slice(has)) await create(name);

const namedLists = lists.map(
  (list) => [list.path.replaceAll(/i_\w+/g, '{i}').replace(/org_\w+/, '{o}'), list] as const,
);
const everyList = [...namedLists, ['/v1/events', { path: '/v1/events', as: api }] as const];

/** Reads the list to its end, which has to come. */
async function readAll(as: ApiClient, path: string, betweenPages: () => Promise<unknown> = async () => {}) {
  const items: { id: string; name: string; created_at: string }[] = [];
  const separator = path.includes('?') ? '&' : '?';
  let cursor: string | null = null;
  for (let page = 0; page < 1000; page++) {
    const answer = await as.get(cursor === null ? path : `${path}${separator}cursor=${cursor}`);
    expect(answer.status).toBe(200);
    const { data, has_more, next_cursor } = answer.body;
    expect(Object.keys(answer.body).sort()).toEqual(['data', 'has_more', 'next_cursor']);
    expect(has_more).toBe(next_cursor !== null);
    items.push(...data);
    if (!has_more) return items;
    cursor = next_cursor;
    await betweenPages();
  }
  throw new Error('The list has no end.');
}

const idsOf = (items: readonly { id: string }[]) => items.map(({ id }) => id);

describe.each(everyList)('GET %s', (_name, { path, as }) => {
  test('has as many items as limit says, 1 to 100, 50 unless it says', async () => {
    const all = (await as.get(path)).body.data;
    expect(all.length).toBeGreaterThanOrEqual(7);
    expect((await as.get(`${path}?limit=1`)).body.data).toEqual(all.slice(0, 1));
    expect((await as.get(`${path}?limit=3`)).body.data).toEqual(all.slice(0, 3));
    expect((await as.get(`${path}?limit=100`)).status).toBe(200);
    for (const limit of [
      '0',
      '101',
      '-1',
      '1.5',
      '1.0',
      'x',
      '',
      '%20',
      '%207',
      '+7',
      '%2B7',
      '0x10',
      '0b1',
      '1e1',
      '1e9',
      '0007',
      '٧',
      'NaN',
      'Infinity',
      'true',
      '1&limit=2',
    ]) {
      const answer = await as.get(`${path}?limit=${limit}`);
      expect([limit, answer.status]).toEqual([limit, 422]);
      expect(answer.body.errors[0].path).toBe('query.limit');
    }
  });

  test('read page by page is what it is read at once', async () => {
    const whole = await readAll(as, `${path}?limit=100`);
    expect(idsOf(await readAll(as, `${path}?limit=3`))).toEqual(idsOf(whole));
    expect(new Set(idsOf(whole)).size).toBe(whole.length);
  });

  test('refuses a cursor that it did not give out', async () => {
    const { next_cursor: cursor } = (await as.get(`${path}?limit=2`)).body;
    const elsewhere = path === '/v1/issuers' ? '/v1/events' : '/v1/issuers';
    for (const [client, asked] of [
      [as, `${path}?cursor=x${cursor}`],
      [as, `${path}?cursor=`],
      [as, `${path}?cursor=${'x'.repeat(3000)}`],
      [as, `${elsewhere}?cursor=${cursor}`],
      [stranger.api, `/v1/issuers?cursor=${cursor}`],
    ] as const) {
      const answer = await client.get(asked);
      expect([asked.slice(0, 80), answer.status]).toEqual([asked.slice(0, 80), 422]);
      expect(answer.body.errors[0].path).toBe('query.cursor');
    }
    // Another limit is the same query.
    expect((await as.get(`${path}?limit=3&cursor=${cursor}`)).status).toBe(200);
  });
});

describe.each(namedLists)('GET %s', (_name, { path, as }) => {
  const found = async (search: string) =>
    (await readAll(as, `${path}?search=${encodeURIComponent(search)}&sort=name`)).map(({ name }) => name);

  test('is ordered by creation or by name, either way', async () => {
    const newestFirst = await readAll(as, path);
    expect(idsOf(await readAll(as, `${path}?sort=-created_at`))).toEqual(idsOf(newestFirst));
    expect(idsOf(await readAll(as, `${path}?sort=created_at`))).toEqual(idsOf(newestFirst).reverse());
    expect(idsOf(newestFirst)).toEqual(idsOf(newestFirst).sort().reverse());
    const byName = await readAll(as, `${path}?sort=name&limit=3`);
    const bytewise = byName.toSorted((a, b) =>
      Buffer.compare(Buffer.from(a.name + a.id), Buffer.from(b.name + b.id)),
    );
    expect(idsOf(byName)).toEqual(idsOf(bytewise));
    expect(idsOf(await readAll(as, `${path}?sort=-name&limit=3`))).toEqual(idsOf(byName).reverse());
    expect((await as.get(`${path}?sort=id`)).status).toBe(422);
  });

  test('is searched by a part of the name in any case, whose wildcards mean themselves', async () => {
    expect(await found('ZEBRA')).toEqual(['Zebra', 'zebra']);
    expect(await found('0% s')).toEqual(['100% sure']);
    expect(await found('a_b')).toEqual(['a_b']);
    expect(await found('k\\s')).toEqual(['back\\slash']);
    expect(await found('äPF')).toEqual(['Äpfel']);
    expect(await found('%%')).toEqual([]);
    expect(await found("'; drop table issuers; --")).toEqual([]);
    for (const refused of ['', '%00', 'x'.repeat(201)])
      expect((await as.get(`${path}?search=${refused}`)).status).toBe(422);
  });

  test('a cursor belongs to the order and the filters that it was given out with', async () => {
    const { next_cursor: cursor } = (await as.get(`${path}?limit=2&sort=name`)).body;
    expect((await as.get(`${path}?sort=name&cursor=${cursor}`)).status).toBe(200);
    for (const other of [
      '',
      '&sort=-name',
      '&sort=created_at',
      '&sort=name&search=a',
      '&sort=name&status=active',
    ]) {
      const answer = await as.get(`${path}?cursor=${cursor}${other}`);
      expect([other, answer.status, answer.body.errors?.[0].code]).toEqual([other, 422, 'invalid_cursor']);
    }
  });
});

describe('a list that grows while it is read', () => {
  const size = scaled(250, 2500);

  test(`${size} items are each seen once, in every order`, async () => {
    const { api } = await createCustomer(server);
    const owner = await api.create('/v1/issuers', { name: 'Acme' });
    const path = `/v1/issuers/${owner.id}/organizations`;
    // Names that collide and that are all over the alphabet, so that newcomers land on every page.
    const add = (index: number) => api.create(path, { name: String.fromCharCode(97 + ((index * 7) % 26)) });
    const before: { id: string }[] = [];
    for (let from = 0; from < size; from += 10)
      before.push(...(await Promise.all(Array.from({ length: 10 }, (_, index) => add(from + index)))));

    expect((await api.get(path)).body.data.length).toBe(50);
    for (const sort of ['-created_at', 'created_at', 'name', '-name']) {
      let added = 0;
      const seen = idsOf(
        await readAll(api, `${path}?limit=23&sort=${sort}`, async () => {
          if (added++ < 8) await Promise.all([add(added), add(added + 3)]);
        }),
      );
      expect(added).toBeGreaterThan(size / 23 - 1);
      expect(new Set(seen).size).toBe(seen.length);
      expect(new Set(seen).isSupersetOf(new Set(idsOf(before)))).toBe(true);
    }
  });

  test('what is deleted between two pages takes nothing else with it', async () => {
    const { api } = await createCustomer(server);
    for (let index = 0; index < 12; index++) await api.create('/v1/issuers', { name: `i${index}` });
    const all = idsOf(await readAll(api, '/v1/issuers'));
    const first = (await api.get('/v1/issuers?limit=4')).body;
    // The very row that the cursor stands on.
    await api.delete(`/v1/issuers/${first.data.at(-1).id}`);
    const rest = await readAll(api, `/v1/issuers?limit=100&cursor=${first.next_cursor}`);
    expect(idsOf(rest)).toEqual(all.slice(4));
  });
});
