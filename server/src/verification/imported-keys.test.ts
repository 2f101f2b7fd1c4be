import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type pg from 'pg';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { digestOfImport, hashOfSecret } from '../api-keys/imported-hash.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Freshness } from './freshness.ts';
import { ImportedKeys } from './imported-keys.ts';
import { KeyDirectory } from './key-directory.ts';
import type { KeyRow } from './lookup-rows.ts';
import { RecordCache } from './record-cache.ts';

interface Query {
  name: string;
  values: unknown[];
  answer(rows: object[]): void;
  fail(): void;
}

/** A Postgres that answers when the test says so. */
class SlowPostgres {
  readonly queries: Query[] = [];
  readonly pool = {
    query: ({ name, values }: { name: string; values: unknown[] }) =>
      new Promise((resolve, reject) => {
        this.queries.push({
          name,
          values,
          answer: (rows) => resolve({ rows }),
          fail: () => reject(new Error('Query read timeout')),
        });
      }),
  } as unknown as pg.Pool;

  next(): Query {
    const query = this.queries.shift();
    if (query === undefined) throw new Error('nothing was asked');
    return query;
  }
}

const log = { debug() {}, info() {}, warn() {}, error() {} };
const accountId = 'acc_1';
// The same in each run: a filter may take one digest in 100,000 for one that it knows.
const digestKey = Buffer.alloc(32, 'imported keys');
const digestsOf = (...secrets: string[]) =>
  secrets.map((secret) => digestOfImport(digestKey, accountId, hashOfSecret(secret)));
const rowsOf = (...secrets: string[]) => digestsOf(...secrets).map((digest) => ({ digest }));

const importedRow: KeyRow = {
  id: 'key_1',
  name: 'imported',
  kind: 'secret',
  environment: 'live',
  status: 'active',
  scopes: null,
  origins: [],
  browsers: 'allow',
  require_origin: false,
  ips: [],
  metadata: {},
  expires_at: null,
  lineage_id: 'key_1',
  rotated_at: null,
  is_imported: true,
  limits: [],
  quota: null,
  account_id: accountId,
  account_status: 'active',
  account_is_operator: false,
  account_plan: null,
  account_limits: null,
  issuer_id: null,
  issuer_status: null,
  issuer_environment: null,
  issuer_publishable_scopes: null,
  profile: null,
  issuer_plan: null,
  issuer_limits: null,
  organization_id: null,
  organization_name: null,
  organization_external_id: null,
  organization_status: null,
  organization_plan: null,
  organization_limits: null,
};

let opened: ImportedKeys | undefined;
afterEach(() => opened?.close());

function open() {
  const postgres = new SlowPostgres();
  const imported = new ImportedKeys({ pool: postgres.pool, log });
  opened = imported;
  const cache = new RecordCache(100);
  const state: { isFresh: boolean; isAway?: boolean; generations: { generation: number; key: Buffer }[] } = {
    isFresh: true,
    generations: [{ generation: 1, key: digestKey }],
  };
  const freshness = {
    isFresh: () => state.isFresh,
    state: async () => (state.isAway ? 'stale' : state.isFresh ? 'fresh' : 'read-through'),
  } as Freshness;
  const secrets = {
    generations: () => state.generations,
    hexKey: () => undefined,
    key: () => undefined,
  } as unknown as InstallationSecrets;
  const keys = new KeyDirectory({ pool: postgres.pool, cache, freshness, secrets, imported });
  const find = (secret: string) => keys.findOrImported(secret, accountId);
  return { postgres, imported, cache, state, find };
}

/** Loaded, with just these. */
async function openWith(...secrets: string[]) {
  const world = open();
  world.imported.reload();
  world.postgres.next().answer(rowsOf(...secrets));
  await turn();
  expect(world.imported.isReady).toBe(true);
  return world;
}

describe('the filter', () => {
  test('is not ready before everything is loaded, page by page', async () => {
    const { postgres, imported } = open();
    expect(imported.isReady).toBe(false);
    imported.reload();
    const [after, most] = postgres.queries[0]!.values as [Buffer, number];
    expect([postgres.queries[0]!.name, after.length]).toEqual(['lookup_imported_digests', 0]);
    const page = Array.from({ length: most }, () => ({ digest: randomBytes(32) }));
    postgres.next().answer(page);
    await turn();
    expect(imported.isReady).toBe(false);
    expect(postgres.queries[0]!.values[0]).toEqual(page.at(-1)!.digest);
    postgres.next().answer(rowsOf('last'));
    await turn();
    expect([imported.isReady, imported.size]).toEqual([true, most + 1]);
    for (const { digest } of page) expect(imported.mayHold(digest)).toBe(true);
  });

  test('is not ready from the moment an import is announced until its keys are here', async () => {
    const { postgres, imported } = await openWith('old');
    imported.onImport('imp_1', 'acc_1');
    imported.onImport('imp_2', 'acc_1');
    expect(imported.isReady).toBe(false);
    const first = postgres.next();
    expect([first.name, first.values, postgres.queries]).toEqual(['lookup_import_batch', ['imp_1'], []]);
    first.answer(rowsOf('first'));
    await turn();
    expect(imported.isReadyFor('acc_1')).toBe(false);
    const second = postgres.next();
    expect(second.values).toEqual(['imp_2']);
    second.answer(rowsOf('second'));
    await turn();
    expect(imported.isReady).toBe(true);
    for (const digest of digestsOf('old', 'first', 'second')) expect(imported.mayHold(digest)).toBe(true);
  });

  test('need not read what this node imported itself', async () => {
    const { postgres, imported } = await openWith();
    imported.learn('imp_1', digestsOf('own'));
    imported.onImport('imp_1', 'acc_1');
    expect([imported.isReady, postgres.queries]).toEqual([true, []]);
    expect(imported.mayHold(digestsOf('own')[0]!)).toBe(true);
  });

  test('is loaded anew after a reconnect, and keeps what it hears of meanwhile', async () => {
    const { postgres, imported } = await openWith('old', 'deleted');
    imported.reload();
    expect(imported.isReady).toBe(false);
    const load = postgres.next();
    imported.onImport('imp_1', 'acc_1');
    imported.learn('imp_2', digestsOf('own'));
    postgres.next().answer(rowsOf('announced'));
    await turn();
    load.answer(rowsOf('old'));
    await turn();
    expect([imported.isReady, imported.size]).toEqual([true, 3]);
    for (const digest of digestsOf('old', 'own', 'announced')) expect(imported.mayHold(digest)).toBe(true);
    expect(imported.mayHold(digestsOf('deleted')[0]!)).toBe(false);
  });

  // Attack on availability: two cuts in a row. The load of the first, late, must not pass for the second's.
  test('is not made ready by a load that another has overtaken', async () => {
    const { postgres, imported } = await openWith();
    imported.reload();
    imported.reload();
    const [overtaken, last] = [postgres.next(), postgres.next()];
    overtaken.answer(rowsOf('a'));
    await turn();
    expect(imported.isReady).toBe(false);
    last.answer(rowsOf('a', 'b'));
    await turn();
    expect(imported.isReady).toBe(true);
  });

  test('asks again after a failure, and is not ready meanwhile', async () => {
    const { postgres, imported } = await openWith();
    imported.onImport('imp_1', 'acc_1');
    postgres.next().fail();
    await vi.waitFor(() => expect(postgres.queries.length).toBe(1));
    expect(imported.isReady).toBe(false);
    postgres.next().answer(rowsOf('new'));
    await turn();
    expect(imported.isReady).toBe(true);
  });
});

describe('a key', () => {
  test('that the filter does not know costs no SQL while it is ready and memory fresh', async () => {
    const { postgres, imported, find } = await openWith('known');
    expect(find('unknown')).toBeNull();
    expect([postgres.queries, imported.answers.negative]).toEqual([[], 1]);
  });

  test.each([
    [
      'the filter is loading',
      ({ imported, postgres }: ReturnType<typeof open>) => {
        imported.reload();
        postgres.next();
      },
    ],
    [
      'an import is being read',
      ({ imported, postgres }: ReturnType<typeof open>) => {
        imported.onImport('imp_1', 'acc_1');
        postgres.next();
      },
    ],
    [
      'changes do not arrive',
      ({ state }: ReturnType<typeof open>) => {
        state.isFresh = false;
      },
    ],
  ])('is looked up when %s', async (_when, bring) => {
    const world = await openWith();
    bring(world);
    const found = world.find('unknown');
    await vi.waitFor(() => expect(world.postgres.queries.length).toBe(1));
    world.postgres.next().answer([]);
    expect(await found).toBeNull();
    expect(world.imported.answers.unready).toBe(1);
  });

  // Attack: somebody asks about the key all the time while it is imported, so that a look-up from before the import
  // answers for what comes after it.
  test('holds when its import has returned, though a look-up was under way', async () => {
    const world = open();
    const before = world.find('new');
    await vi.waitFor(() => expect(world.postgres.queries.length).toBe(1));
    world.imported.learn('imp_1', digestsOf('new'));
    world.cache.noteCreation('imp_1');
    const after = world.find('new');
    world.postgres.next().answer([]);
    expect(await before).toBeNull();
    await vi.waitFor(() => expect(world.postgres.queries.length).toBe(1));
    world.postgres.next().answer([importedRow]);
    expect(await after).toMatchObject({ id: importedRow.id, isImported: true });
  });

  test('that memory holds under an older generation serves on while Postgres is away', async () => {
    const world = await openWith('known');
    const found = world.find('known');
    await vi.waitFor(() => expect(world.postgres.queries.length).toBe(1));
    world.postgres.next().answer([importedRow]);
    expect(await found).toMatchObject({ id: importedRow.id });
    world.state.generations = [{ generation: 2, key: randomBytes(32) }, ...world.state.generations];
    world.state.isFresh = false;
    world.state.isAway = true;
    expect(await world.find('known')).toMatchObject({ id: importedRow.id });
    expect(world.postgres.queries).toEqual([]);
  });

  // Attack: an account imports key after key, so that everybody else's unknown keys cost look-ups.
  test('of one account costs no SQL while an import of another is being read', async () => {
    const world = await openWith();
    world.imported.onImport('imp_1', 'acc_2');
    expect(world.imported.isReady).toBe(false);
    expect(world.find('unknown')).toBeNull();
    expect(world.postgres.queries.length).toBe(1);
  });

  test('that is not found is asked for again: it may be imported any time', async () => {
    const { postgres, imported, find } = await openWith('deleted');
    for (const count of [1, 2]) {
      const found = find('deleted');
      await vi.waitFor(() => expect(postgres.queries.length).toBe(1));
      postgres.next().answer([]);
      expect(await found).toBeNull();
      expect(imported.answers.false_positive).toBe(count);
    }
  });
});

// Attack: a flood of made-up keys while the filter is loading, to keep the look-ups' connections from everybody else.
test('while the filter is not ready strangers get two look-ups at a time, and most of them nothing', async () => {
  const { postgres, find } = open();
  const flood = Array.from({ length: 1_000 }, (_, index) => Promise.resolve(find(`made up ${index}`)));
  const outcomes = Promise.allSettled(flood);
  await vi.waitFor(() => expect(postgres.queries.length).toBe(2));
  // Those who find no room, or wait in vain behind look-ups that hang, are told to come back.
  const running = postgres.queries.splice(0);
  await turn();
  expect(postgres.queries).toEqual([]);
  await vi.waitFor(async () => {
    const refused = await Promise.race([
      flood.at(-1)!.then(
        () => 'found',
        (error) => error.code,
      ),
      turn('waits'),
    ]);
    expect(refused).toBe('unavailable');
  });
  const drain = async () => {
    for (const query of [...running.splice(0), ...postgres.queries.splice(0)]) query.answer([]);
    await turn();
    return postgres.queries.length;
  };
  while ((await drain()) > 0);
  const statuses = (await outcomes).map(({ status }) => status);
  expect(statuses.filter((status) => status === 'rejected').length).toBeGreaterThanOrEqual(798);
});
