import fc from 'fast-check';
import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { silentLog } from '../supervisor/log.ts';
import { CommitOutcomeUnknownError, Database, type Transaction } from './database.ts';
import { createPool } from './pool.ts';
import { isUnavailable } from './unavailable.ts';

let database: TestDatabase;
let proxy: PostgresProxy;
let pool: pg.Pool;
let db: Database;
let statements: string[];
let ours: string;
let theirs: string;

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await PostgresProxy.start(database.appUrl);
});
afterAll(async () => {
  await proxy.close();
  await database.drop();
});
beforeEach(async () => {
  statements = [];
  const connectionString = proxy.url(database.appUrl);
  pool = createPool({ connectionString, max: 2, applicationName: 'test', log: silentLog });
  db = new Database({ pool, onQuery: (text) => statements.push(text) });
  ours = await makeAccount('ours');
  theirs = await makeAccount('theirs');
  statements = [];
});
afterEach(async () => {
  proxy.thaw();
  await pool.end();
});

async function makeAccount(name: string): Promise<string> {
  const id = newId(idPrefixes.account);
  await db.withAccount(id, (tx) => tx.insertInto('accounts').values({ id, name }).execute());
  return id;
}

function visibleAccounts(tx: Transaction | Database['lookups']): Promise<{ id: string }[]> {
  return tx.selectFrom('accounts').select('id').execute();
}

async function nameOf(id: string): Promise<string | undefined> {
  const row = await db.withAccount(id, (tx) => tx.selectFrom('accounts').select('name').executeTakeFirst());
  return row?.name;
}

describe('isolation of accounts', () => {
  it('shows a transaction the rows of its account and no other', async () => {
    expect(await db.withAccount(ours, visibleAccounts)).toEqual([{ id: ours }]);
    expect(await db.withAccount(theirs, visibleAccounts)).toEqual([{ id: theirs }]);
  });

  it('lets a transaction neither change nor add rows of another account', async () => {
    await db.withAccount(ours, async (tx) => {
      const update = await tx
        .updateTable('accounts')
        .set({ name: 'taken' })
        .where('id', '=', theirs)
        .executeTakeFirst();
      expect(update.numUpdatedRows).toBe(0n);
    });
    const intrusion = db.withAccount(ours, (tx) =>
      tx
        .insertInto('account_members')
        .values({ account_id: theirs, email: 'intruder@example.com', role: 'owner' })
        .execute(),
    );
    await expect(intrusion).rejects.toMatchObject({ code: '42501' });
  });

  it('shows nothing outside of an account, also where a transaction has just ended on the connection', async () => {
    for (let i = 0; i < 4; i++) {
      await db.withAccount(ours, visibleAccounts);
      expect(await visibleAccounts(db.lookups)).toEqual([]);
    }
    const { rows } = await sql<{ setting: string }>`
      select current_setting('gatelodge.account_id', true) as setting`.execute(db.lookups);
    // Not null: the empty string that an ended transaction leaves is what the policies have to bear.
    expect(rows).toEqual([{ setting: '' }]);
  });

  // Attack: make requests fail in every way while others run on the same few connections, and hope that one of
  // them is served on a connection that still carries somebody else's account.
  it('survives 1,000 aborted transactions on a shared pool without one crossing', async () => {
    const failures = [
      async () => {
        throw new Error('by the caller');
      },
      (tx: Transaction) => sql`select 1 / 0`.execute(tx),
      (tx: Transaction) => sql`insert into accounts (id, name) values (${ours}, 'twice')`.execute(tx),
      async (tx: Transaction) => void sql`select pg_sleep(0.001)`.execute(tx).catch(() => {}),
    ];
    let aborted = 0;
    const seen: string[] = [];
    const worker = async (account: string, other: string) => {
      for (let i = 0; i < 250; i++) {
        const fail = failures[i % failures.length]!;
        const run = db.withAccount(account, async (tx) => {
          seen.push(...(await visibleAccounts(tx)).map((row) => (row.id === account ? 'own' : 'foreign')));
          await fail(tx);
          throw new Error('aborted');
        });
        await run.catch(() => aborted++);
        if (i % 10 === 0) seen.push(...(await visibleAccounts(db.lookups)).map(() => 'outside'));
        const after = await db.withAccount(other, visibleAccounts);
        seen.push(...after.map((row) => (row.id === other ? 'own' : 'foreign')));
      }
    };
    await Promise.all([worker(ours, theirs), worker(theirs, ours), worker(ours, ours), worker(theirs, ours)]);
    expect(aborted).toBe(1_000);
    expect(new Set(seen)).toEqual(new Set(['own']));
    expect(seen).toHaveLength(2_000);
  });

  // Attack: an "id" that ends the statement in which it is set and names another account.
  it('refuses anything but the form of an account id, before a statement is sent', async () => {
    const hostile = fc.oneof(
      fc.string(),
      fc.string().map((text) => `${ours}${text}x`),
      fc.string().map((text) => `${ours}'; ${text}`),
      fc.constantFrom(
        '',
        `${ours}\n`,
        ours.toUpperCase(),
        ours.replace('acc_', 'key_'),
        `${ours}'; reset role; --`,
      ),
    );
    await fc.assert(
      fc.asyncProperty(hostile, async (id) => {
        await expect(db.withAccount(id, async () => 'reached')).rejects.toThrow(TypeError);
      }),
    );
    await expect(db.withAccount([ours] as unknown as string, async () => 'reached')).rejects.toThrow(
      TypeError,
    );
    expect(statements).toEqual([]);
  });

  // Attack (our own mistake): a query nobody waited for starts when the connection already serves another account.
  it('refuses a query that is started after its transaction has ended', async () => {
    let late: Transaction | undefined;
    await db.withAccount(ours, async (tx) => {
      late = tx;
    });
    statements = [];
    await expect(visibleAccounts(late!)).rejects.toThrow('after its transaction had ended');
    expect(statements).toEqual([]);
  });

  it('opens no transaction outside of an account', async () => {
    await expect(db.lookups.transaction().execute(async () => 'reached')).rejects.toThrow('withAccount');
    expect(await db.withAccount(ours, async (tx) => tx.isTransaction)).toBe(true);
  });
});

describe('commit and rollback', () => {
  it('takes one round trip to open, one to commit, and reports statements without ids', async () => {
    await db.withAccount(ours, visibleAccounts);
    expect(statements).toEqual([
      'begin; set local gatelodge.account_id',
      'select "id" from "accounts"',
      'commit',
    ]);
  });

  it('gives back what the work gave back, committed', async () => {
    const result = await db.withAccount(ours, async (tx) => {
      const rows = await tx.updateTable('accounts').set({ name: 'renamed' }).returning('name').execute();
      return rows[0]?.name;
    });
    expect(result).toBe('renamed');
    expect(await nameOf(ours)).toBe('renamed');
  });

  it('rolls back when the work throws, and passes the error on', async () => {
    const error = new Error('by the caller');
    const run = db.withAccount(ours, async (tx) => {
      await tx.updateTable('accounts').set({ name: 'never' }).execute();
      throw error;
    });
    await expect(run).rejects.toBe(error);
    expect(await nameOf(ours)).toBe('ours');
  });

  it('does not call it a success when a swallowed error made Postgres roll back', async () => {
    const run = db.withAccount(ours, async (tx) => {
      await tx.updateTable('accounts').set({ name: 'never' }).execute();
      await sql`select 1 / 0`.execute(tx).catch(() => {});
      return 'done';
    });
    await expect(run).rejects.toThrow('nothing was committed');
    expect(await nameOf(ours)).toBe('ours');
  });

  it('fails with the error of a commit that Postgres refuses', async () => {
    const run = db.withAccount(ours, async (tx) => {
      await sql`create temporary table twice (n int unique deferrable initially deferred)`.execute(tx);
      await sql`insert into twice values (1), (1)`.execute(tx);
    });
    await expect(run).rejects.toMatchObject({ code: '23505' });
    expect(await nameOf(ours)).toBe('ours');
  });

  it('says that it cannot know when the connection breaks during the commit', async () => {
    const run = db.withAccount(ours, async (tx) => {
      await tx.updateTable('accounts').set({ name: 'who knows' }).execute();
      proxy.cutAfter('commit');
    });
    const error = await run.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
    expect(isUnavailable(error)).toBe(true);
    // Here it was made; had the cut come earlier it would not have been. That is the point.
    expect(await nameOf(ours)).toBe('who knows');
  });

  it('gives every connection back, whatever happens', async () => {
    for (let i = 0; i < 20; i++) {
      await db.withAccount(ours, () => Promise.reject(new Error('x'))).catch(() => {});
      await db.withAccount(ours, (tx) => sql`not sql`.execute(tx)).catch(() => {});
      await sql`not sql`.execute(db.lookups).catch(() => {});
    }
    expect(pool.totalCount - pool.idleCount).toBe(0);
  });
});

describe('broken connections', () => {
  it('fails the work and uses the connection no more when Postgres ends it', async () => {
    const pid = await db.withAccount(ours, backendPid);
    const run = db.withAccount(ours, (tx) => sql`select pg_terminate_backend(pg_backend_pid())`.execute(tx));
    const error = await run.catch((reason: unknown) => reason);
    expect(isUnavailable(error)).toBe(true);
    expect(await db.withAccount(ours, backendPid)).not.toBe(pid);
  });

  it('outlives a connection that breaks between two queries of a transaction', async () => {
    const run = db.withAccount(ours, async (tx) => {
      await visibleAccounts(tx);
      proxy.cut();
      await new Promise((resolve) => setTimeout(resolve, 50));
      await visibleAccounts(tx);
    });
    const error = await run.catch((reason: unknown) => reason);
    expect(isUnavailable(error)).toBe(true);
    expect(await nameOf(ours)).toBe('ours');
  });

  it('outlives idle connections that break', async () => {
    await Promise.all([nameOf(ours), nameOf(theirs)]);
    proxy.cut();
    await expect.poll(() => pool.totalCount).toBe(0);
    expect(await nameOf(ours)).toBe('ours');
  });

  it('gives up on a look-up over a connection that answers nothing', async () => {
    await sql`select 1`.execute(db.lookups);
    proxy.freezePresent();
    const error = await sql`select 1`.execute(db.lookups).catch((reason: unknown) => reason);
    expect(isUnavailable(error)).toBe(true);
    expect(await nameOf(ours)).toBe('ours');
  });
});

async function backendPid(tx: Transaction): Promise<number> {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
  return rows[0]!.pid;
}
