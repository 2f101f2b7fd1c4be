import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { eventually, exists, isRunning } from './fixtures/helper-process.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';

type Answer = { pid: number; DATABASE_URL: string; DATABASE_OWNER_URL?: string };

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A supervisor in a process of its own, in a process group of its own as a terminal would make it. */
async function startSupervisor(dataDir: string, env: NodeJS.ProcessEnv = {}, wantedPort?: number) {
  const port = wantedPort ?? (await freePort());
  const script = fileURLToPath(new URL('./fixtures/run-supervisor.ts', import.meta.url));
  const child = spawn(process.execPath, [script, dataDir, String(port)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { ...process.env, DATABASE_URL: undefined, DATABASE_OWNER_URL: undefined, ...env },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close');
  const ask = async () => (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as Answer;
  return {
    pid: child.pid!,
    port,
    ask,
    /** Waits until the server answers, with another pid than `except`. */
    answers: async (except?: number): Promise<Answer> => {
      let answer: Answer | undefined;
      await eventually(async () => {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${errors}`);
        answer = await ask().catch(() => undefined);
        return answer !== undefined && answer.pid !== except;
      });
      return answer!;
    },
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    killGroup: (signal: NodeJS.Signals) => process.kill(-child.pid!, signal),
    ended: async () => ({ code: (await ended)[0] as number | null, errors }),
    errors: () => errors,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
    },
  };
}

async function postgresPid(dataDir: string): Promise<number> {
  const file = join(dataDir, 'postgres', 'cluster', 'postmaster.pid');
  return Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
}

async function canQuery(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

describe('the supervisor', () => {
  it('starts everything, and on SIGTERM stops everything and ends with 0', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const supervisor = await startSupervisor(data.path);
    const server = await supervisor.answers();
    const postgres = await postgresPid(data.path);
    supervisor.kill('SIGTERM');
    expect((await supervisor.ended()).code).toBe(0);
    expect([isRunning(server.pid), isRunning(postgres)]).toEqual([false, false]);
    const socketDirectory = new URL(server.DATABASE_URL.replace('@/', '@x/')).searchParams.get('host')!;
    expect(await exists(socketDirectory)).toBe(false);
  });

  // The attack: code running in the serving process reads its environment for a credential above row-level security.
  it('hands the server the URL of the service’s role and no other', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const owner = { DATABASE_OWNER_URL: 'postgres://owner:secret@127.0.0.1/gatelodge' };
    await using supervisor = await startSupervisor(data.path, owner);
    const server = await supervisor.answers();
    expect(server.DATABASE_URL).toMatch(/^postgresql:\/\/gatelodge_app@/);
    expect(server.DATABASE_OWNER_URL).toBeUndefined();
    expect(await canQuery(server.DATABASE_URL)).toBe(true);
  });

  it('with a database of the operator’s own starts none, and keeps the owner’s URL to itself', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const urls = {
      DATABASE_URL: 'postgres://service:secret@127.0.0.1/theirs',
      DATABASE_OWNER_URL: 'postgres://owner:secret@127.0.0.1/theirs',
    };
    await using supervisor = await startSupervisor(data.path, urls);
    const server = await supervisor.answers();
    expect(server.DATABASE_URL).toBe(urls.DATABASE_URL);
    expect(server.DATABASE_OWNER_URL).toBeUndefined();
    expect(await exists(join(data.path, 'postgres'))).toBe(false);
  });

  it('starts a killed server again, every time', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await using supervisor = await startSupervisor(data.path);
    let server = await supervisor.answers();
    for (let round = 0; round < 3; round++) {
      process.kill(server.pid, 'SIGKILL');
      server = await supervisor.answers(server.pid);
    }
    expect(supervisor.errors()).toContain('The server ended by itself');
  });

  it('starts a killed Postgres again on the same socket, and the server lives on', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await using supervisor = await startSupervisor(data.path);
    const server = await supervisor.answers();
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const postgres = await postgresPid(data.path);
      process.kill(postgres, signal);
      await eventually(async () => ![postgres, Number.NaN].includes(await postgresPid(data.path)));
      await eventually(() => canQuery(server.DATABASE_URL));
    }
    expect((await supervisor.ask()).pid).toBe(server.pid);
  });

  it('takes one Ctrl-C, which the whole process group gets, and any number more, as one stop', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const supervisor = await startSupervisor(data.path);
    const server = await supervisor.answers();
    const postgres = await postgresPid(data.path);
    supervisor.killGroup('SIGINT');
    supervisor.kill('SIGINT');
    supervisor.kill('SIGTERM');
    expect((await supervisor.ended()).code).toBe(0);
    expect([isRunning(server.pid), isRunning(postgres)]).toEqual([false, false]);
  });

  it('killed with -9 leaves nothing running for long, and the next one starts on the same port', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const killed = await startSupervisor(data.path);
    const server = await killed.answers();
    const postgres = await postgresPid(data.path);
    killed.kill('SIGKILL');
    await killed.ended();
    await using next = await startSupervisor(data.path, {}, killed.port);
    expect((await next.answers(server.pid)).pid).not.toBe(server.pid);
    expect([isRunning(server.pid), isRunning(postgres)]).toEqual([false, false]);
  });

  it('ends a server that hangs after its supervisor was killed, so that the next one can start', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const killed = await startSupervisor(data.path);
    const server = await killed.answers();
    process.kill(server.pid, 'SIGSTOP');
    killed.kill('SIGKILL');
    await eventually(() => !isRunning(killed.pid));
    await using next = await startSupervisor(data.path, {}, killed.port);
    await next.answers(server.pid);
    expect(isRunning(server.pid)).toBe(false);
  });

  it('refuses a second start on the data directory and leaves the first one alone', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await using first = await startSupervisor(data.path);
    const server = await first.answers();
    const second = await (await startSupervisor(data.path)).ended();
    expect(second.code).toBe(69);
    expect(second.errors).toContain('Another Gatelodge runs');
    expect(second.errors).not.toContain('    at ');
    expect((await first.ask()).pid).toBe(server.pid);
  });

  it('starts nothing when the port is taken', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const refused = await (await startSupervisor(data.path, {}, port)).ended();
    holder.close();
    expect(refused.code).toBe(69);
    expect(refused.errors).toContain('GATELODGE_PORT');
    expect(await exists(join(data.path, 'postgres'))).toBe(false);
  });

  it('ends with the code of a server that can’t start for a reason the operator must mend', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const supervisor = await startSupervisor(data.path, { SMALL_SERVER_EXIT: '78' });
    expect((await supervisor.ended()).code).toBe(78);
    expect(await postgresPid(data.path)).toBeNaN();
  });

  it('keeps trying a server that fails for any other reason, and says so each time', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    await using supervisor = await startSupervisor(data.path, { SMALL_SERVER_EXIT: '1' });
    await eventually(() => supervisor.errors().split('The server ended by itself').length > 3);
  });
});
