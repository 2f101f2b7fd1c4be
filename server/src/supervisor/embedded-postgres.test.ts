import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { machineDirectory, removeClusterHome } from './cluster-home.ts';
import type { DataDirectory } from './data-directory.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import {
  canBeOtherUser,
  eventually,
  exists,
  isRunning,
  otherUser,
  startHelper,
} from './fixtures/helper-process.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { silentLog } from './log.ts';
import { runAs } from './run-as.ts';
import { StartError } from './start-error.ts';

const isRoot = process.geteuid?.() === 0;
const isOtherUserPossible = await canBeOtherUser();
const hasSetpriv =
  (await commandWorks('setpriv', ['--pdeathsig', 'INT', 'true'])) && process.platform === 'linux';

async function commandWorks(command: string, args: string[]): Promise<boolean> {
  return (await runAs({ name: '', uid: 0, gid: 0, isSelf: true }, command, args)).code === 0;
}

type Running = EmbeddedPostgres & AsyncDisposable;

async function start(dataDirectory: DataDirectory): Promise<Running> {
  const postgres = await startEmbeddedPostgres({ dataDirectory, log: silentLog });
  return { ...postgres, [Symbol.asyncDispose]: () => postgres.stop() };
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('the embedded Postgres', () => {
  it('runs durably, with its three roles, reachable only by its socket', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    await using postgres = await start(data);

    const roles = `SELECT current_user::text AS role, current_database()::text AS database, rolsuper, rolcreatedb,
      rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user`;
    const plain = { rolsuper: false, rolcreatedb: false, rolcreaterole: false, rolbypassrls: false };
    expect(await query(postgres.ownerUrl, roles)).toEqual([
      { ...plain, role: 'gatelodge_owner', database: 'gatelodge', rolcreatedb: true, rolcreaterole: true },
    ]);
    expect(await query(postgres.appUrl, roles)).toEqual([
      { ...plain, role: 'gatelodge_app', database: 'gatelodge' },
    ]);
    const settings = await query(
      postgres.superuserUrl,
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit',
        'data_checksums', 'listen_addresses', 'server_encoding') ORDER BY name`,
    );
    expect(settings.map((row) => `${String(row.name)}=${String(row.setting)}`)).toEqual([
      'data_checksums=on',
      'fsync=on',
      'full_page_writes=on',
      'listen_addresses=',
      'server_encoding=UTF8',
      'synchronous_commit=on',
    ]);
    const [locale] = await query(
      postgres.ownerUrl,
      `SELECT datcollate, pg_get_userbyid(datdba)::text AS owner FROM pg_database WHERE datname = 'gatelodge'`,
    );
    expect(locale).toEqual({ datcollate: 'C', owner: 'gatelodge_owner' });
  });

  it('keeps its data over a stop, and leaves no process and no socket behind', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const first = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    await first.stop();
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(isRunning(first.pid)).toBe(false);
    expect(await exists(first.socketDirectory)).toBe(false);

    await using second = await start(data);
    expect(await query(second.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('takes settings that win over its own', async () => {
    await using directory = await throwAwayDirectory();
    const dataDirectory = await directory.openWithCluster();
    const postgres = await startEmbeddedPostgres({
      dataDirectory,
      log: silentLog,
      settings: { max_connections: '33' },
    });
    expect(await query(postgres.superuserUrl, 'SHOW max_connections')).toEqual([{ max_connections: '33' }]);
    await postgres.stop();
  });

  it('starts under a data directory whose path is too long for a socket', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open(join('d'.repeat(90), 'e'.repeat(90), 'data'));
    await using postgres = await start(data);
    expect(Buffer.byteLength(join(postgres.socketDirectory, '.s.PGSQL.5432'))).toBeLessThan(107);
    expect(await query(postgres.appUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('says what to do about a cluster of another major version, and leaves it alone', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const version = join(data.path, 'postgres', 'cluster', 'PG_VERSION');
    await writeFile(version, '14\n');
    const failure = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog }).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(StartError);
    expect(failure.message).toContain('Postgres 14');
    expect(await readFile(version, 'utf8')).toBe('14\n');
  });

  it('says why Postgres does not start, in its own words', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await rm(join(data.path, 'postgres', 'cluster', 'global', 'pg_control'));
    const failure = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog }).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(StartError);
    expect(failure.message).toContain('pg_control');
    expect(failure.hint).toContain('backup');
  });
});

describe('another user of the machine', () => {
  // The attack: a local user connects to the socket as any role, or puts a socket of their own in its place.
  it('can neither enter the socket directory nor own what is in it', async () => {
    await using directory = await throwAwayDirectory();
    await using postgres = await start(await directory.openWithCluster());
    const cluster = await stat(join(directory.path, 'data', 'postgres', 'cluster'));
    const socket = await stat(postgres.socketDirectory);
    expect(socket.mode & 0o777).toBe(0o700);
    expect(cluster.mode & 0o777).toBe(0o700);
    expect(socket.uid).toBe(cluster.uid);
    if (isRoot) expect(socket.uid).not.toBe(0);
  });

  // The attack: a process that runs as Postgres' own account (or reached the socket otherwise) claims to be a role of ours.
  it.skipIf(!isOtherUserPossible)('is refused by peer even where the socket lets them through', async () => {
    await using directory = await throwAwayDirectory();
    await using postgres = await start(await directory.openWithCluster());
    await chmod(postgres.socketDirectory, 0o755);
    await chmod(join(postgres.socketDirectory, '.s.PGSQL.5432'), 0o777);
    for (const role of ['gatelodge_root', 'gatelodge_owner', 'gatelodge_app']) {
      const script = `import pg from ${JSON.stringify(import.meta.resolve('pg'))};
        const client = new pg.Client({ connectionString: ${JSON.stringify(postgres.databaseUrl('gatelodge', role))} });
        await client.connect().then(() => console.log('in'), (error) => console.log(error.code));
        process.exit();`;
      const tried = await runAs(otherUser, process.execPath, ['--input-type=module', '--eval', script]);
      expect(tried.stdout.trim()).toBe('28000');
    }
  });
});

describe('after a kill -9 of Node', () => {
  it.skipIf(!hasSetpriv)(
    'Postgres ends by itself where setpriv exists, and the next start has every row',
    async () => {
      await using directory = await throwAwayDirectory();
      const data = await directory.openWithCluster();
      const parent = await startHelper('start-postgres.ts', [data.path]);
      await query(parent.answer.ownerUrl!, 'CREATE TABLE kept AS SELECT 1 AS n');
      parent.child.kill('SIGKILL');
      await once(parent.child, 'exit');
      await eventually(() => !isRunning(parent.answer.pid!));

      await using again = await start(data);
      expect(await query(again.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    },
  );

  it('the next start stops the orphan where setpriv is missing, and has every row', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    // A setpriv that knows no --pdeathsig, as busybox' does not.
    const commands = join(directory.path, 'commands');
    await mkdir(commands);
    await writeFile(join(commands, 'setpriv'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const path = `${commands}:${process.env.PATH}`;
    const parent = await startHelper('start-postgres.ts', [data.path], { env: { PATH: path } });
    await query(parent.answer.ownerUrl!, 'CREATE TABLE kept AS SELECT 1 AS n');
    parent.child.kill('SIGKILL');
    await once(parent.child, 'exit');
    await sleep(200);
    expect(isRunning(parent.answer.pid!)).toBe(true);

    await using again = await start(data);
    expect(isRunning(parent.answer.pid!)).toBe(false);
    expect(await query(again.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  it('a pid file whose pid belongs to another process now neither stops the start nor harms that process', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const killed = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    const pidFile = join(data.path, 'postgres', 'cluster', 'postmaster.pid');
    const left = await readFile(pidFile, 'utf8');
    process.kill(killed.pid, 'SIGKILL');
    await killed.exited;
    // Of the same user as Postgres, which makes Postgres itself refuse.
    const owner = await stat(dirname(pidFile));
    const foreign = spawn(
      'sleep',
      ['60'],
      isRoot ? { uid: owner.uid, gid: owner.gid, cwd: '/' } : { cwd: '/' },
    );
    await writeFile(pidFile, left.replace(/^\d+/, String(foreign.pid)));

    await using again = await start(data);
    expect(await query(again.appUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(isRunning(foreign.pid!)).toBe(true);
    foreign.kill('SIGKILL');
  });

  it('sessions that outlive a killed postmaster are ended', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const killed = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    const busy = new pg.Client({ connectionString: killed.ownerUrl });
    busy.on('error', () => {});
    await busy.connect();
    // Busy in the processor, it does not look whether its postmaster lives.
    const endless = busy.query('SELECT count(*) FROM generate_series(1, 1000000000)').catch(() => {});
    await sleep(100);
    process.kill(killed.pid, 'SIGKILL');
    await killed.exited;

    await using again = await start(data);
    expect(await query(again.appUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await endless;
  });

  it('in the middle of initdb, the half-made cluster is thrown away', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const home = join(data.path, 'postgres');
    await mkdir(join(home, 'cluster.partial-0badf00d'));
    await rm(join(home, 'cluster'), { recursive: true });
    await using again = await start(data);
    expect(await query(again.appUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(await exists(join(home, 'cluster.partial-0badf00d'))).toBe(false);
  });
});

describe.skipIf(!isRoot)('as root', () => {
  it('runs Postgres as an unprivileged account, which can enter but not read the data directory', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    await using postgres = await start(data);
    const account = (await stat(join(data.path, 'postgres'))).uid;
    expect((await stat(`/proc/${postgres.pid}`)).uid).toBe(account);
    expect(account).not.toBe(0);
    expect(account).not.toBe(65534);
    expect((await stat(data.path)).uid).toBe(0);
    expect((await stat(data.path)).mode & 0o777).toBe(0o710);
  });

  it('under a private home keeps the database in /var/lib, and fails rather than begin anew when it is gone', async () => {
    await using directory = await throwAwayDirectory(0o700);
    const data = await directory.open();
    const first = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    const home = join(machineDirectory, data.id, 'postgres');
    expect(await readlink(join(data.path, 'postgres'))).toBe(home);
    expect((await stat(join(machineDirectory, data.id))).uid).toBe(0);
    const second = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    expect(await query(second.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    await second.stop();

    await rm(home, { recursive: true });
    const failure = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog }).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(StartError);
    expect(failure.message).toContain('missing');
    expect(await exists(home)).toBe(false);
  });

  it('tells at each start that the database is outside of the data directory, where it is', async () => {
    for (const [mode, times] of [
      [0o700, 2],
      [0o755, 0],
    ] as const) {
      await using directory = await throwAwayDirectory(mode);
      const data = await directory.open();
      const told: object[] = [];
      const log = { ...silentLog, info: (fields: object) => void told.push(fields) };
      for (let count = 0; count < 2; count++)
        await (await startEmbeddedPostgres({ dataDirectory: data, log })).stop();
      expect(told).toEqual(Array(times).fill({ file: join(machineDirectory, data.id, 'postgres') }));
    }
  });

  it('starts on what docs/operations.md says to copy of a data directory under a private home', async () => {
    await using directory = await throwAwayDirectory(0o700);
    await using elsewhere = await throwAwayDirectory();
    const data = await directory.open();
    const first = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    const copy = (args: string[]) => promisify(execFile)('cp', args);

    // One whole copy, started where Postgres' account can reach it.
    await copy(['-aL', data.path, join(elsewhere.path, 'data')]);
    // Both, each put back to its place.
    const outside = join(machineDirectory, data.id);
    await copy(['-a', data.path, join(elsewhere.path, 'link')]);
    await copy(['-a', outside, join(elsewhere.path, 'outside')]);
    await removeClusterHome(data);
    await rm(data.path, { recursive: true });
    {
      await using whole = await start(await elsewhere.open('data'));
      expect(await query(whole.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
    }
    await copy(['-a', join(elsewhere.path, 'link'), data.path]);
    await copy(['-a', join(elsewhere.path, 'outside'), outside]);
    await using restored = await start(await directory.open());
    expect(await query(restored.ownerUrl, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  });

  // The attack: whoever owns the data directory points `postgres` at somebody else's files, and root hands them over.
  it('follows no symbolic link of the data directory’s owner to a directory of another account', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const { chown, lchown } = await import('node:fs/promises');
    await chown(data.path, otherUser.uid, otherUser.gid);
    const victim = join(directory.path, 'victim');
    await mkdir(victim);
    await chown(victim, 1, 1);
    await symlink(victim, join(data.path, 'postgres'));
    await lchown(join(data.path, 'postgres'), otherUser.uid, otherUser.gid);
    const failure = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog }).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(StartError);
    expect((await lstat(victim)).uid).toBe(1);
  });

  it.skipIf(!isOtherUserPossible)(
    'takes over a data directory of an ordinary user as that user',
    async () => {
      await using directory = await throwAwayDirectory();
      await chmod(directory.path, 0o777);
      const path = join(directory.path, 'data');
      const theirs = await startHelper('start-postgres.ts', [path], { as: otherUser });
      await query(theirs.answer.ownerUrl!, 'CREATE TABLE kept AS SELECT 1 AS n').catch((error) => {
        // root is not the user that their Postgres lets in.
        expect(error.code).toBe('28000');
      });
      await theirs[Symbol.asyncDispose]();
      await using ours = await start(await directory.open());
      expect((await stat(`/proc/${ours.pid}`)).uid).toBe(otherUser.uid);
      expect(await query(ours.appUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    },
  );
});

describe.skipIf(!isOtherUserPossible)('as an ordinary user', () => {
  it('runs Postgres as that user, within the data directory', async () => {
    await using directory = await throwAwayDirectory();
    await chmod(directory.path, 0o777);
    await using helper = await startHelper('start-postgres.ts', [join(directory.path, 'data')], {
      as: otherUser,
    });
    expect((await stat(`/proc/${helper.answer.pid}`)).uid).toBe(otherUser.uid);
    expect((await stat(join(directory.path, 'data'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory.path, 'data', 'postgres', 'cluster'))).uid).toBe(otherUser.uid);
  });

  it('is told to start as root when root made the database', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await using helper = await startHelper('start-postgres.ts', [data.path], { as: otherUser });
    expect(helper.answer.error).toContain('belongs to another user');
    expect(helper.answer.exitCode).toBe(78);
  });
});
