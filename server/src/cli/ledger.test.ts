import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { exitCodes } from '../supervisor/start-error.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

let dataDir: string;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  dataDir = server.dataDir;
});
afterAll(async () => {
  await server.close();
});

async function check(args: string[] = [], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [main, 'ledger', 'check', ...args], {
    cwd: tmpdir(),
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: server.database.appUrl,
      GATELODGE_DATA_DIR: dataDir,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await ended, stdout, stderr };
}

async function verify(count: number): Promise<void> {
  for (let more = count; more > 0; more--)
    await server.operator.api.post('/v1/keys/verify', { key: server.demo.key.secret });
}

async function segmentPath(): Promise<string> {
  const names = await readdir(join(dataDir, 'ledger'), { recursive: true });
  return join(dataDir, 'ledger', names.find((name) => name.endsWith('.segment'))!);
}

describe('gatelodge ledger check', () => {
  beforeEach(() => verify(3));

  test('0: says how much usage tells of, beside a running server', async () => {
    await server.running.services.fold.catchUp();
    const { code, stdout } = await check(['--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      sound: true,
      database: 'reached',
      unfolded: 0,
      lost_bytes: 0,
      lost_segments: [],
    });
    expect(report.segments).toMatchObject([
      { state: 'open', finished: false, unfolded: 0, records: report.records },
    ]);
    expect(report.records).toBeGreaterThanOrEqual(3);
    const shown = await check();
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/^SEGMENT +CREATED +STATE +DECISIONS +NOT IN USAGE YET\n[0-9a-f]{32} /);
    expect(shown.stdout).toMatch(/ decisions in 1 segments of .*: sound\.\n$/);
  });

  test('0: says what is in the files without the database', async () => {
    const { code, stdout } = await check(['--json'], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ sound: true, database: 'unreachable', unfolded: null });
  });

  test('1: where something is wrong, with its place', async () => {
    await server.running.services.fold.catchUp();
    const path = await segmentPath();
    const whole = await readFile(path);
    const copy = await mkdtemp(join(tmpdir(), 'gatelodge-cli-ledger-'));
    const damaged = Buffer.from(whole);
    damaged[100]! ^= 1;
    const id = path.split('/').at(-1)!;
    const directory = join(copy, 'ledger', 'a'.repeat(32));
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, id), damaged);
    const { code, stdout } = await check(['--json'], { GATELODGE_DATA_DIR: copy });
    expect(code).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ sound: false, segments: [{ state: 'corrupt', at: 70 }] });
    expect(report.lost_bytes).toBeGreaterThan(0);
    const shown = await check([], { GATELODGE_DATA_DIR: copy });
    expect(shown.code).toBe(1);
    expect(shown.stdout).toMatch(/damaged at 70.*\n.*\n.*bytes of decisions are lost\.\n.*NOT SOUND\.\n$/);
    // Older than what was counted.
    await writeFile(join(directory, id), whole.subarray(0, 70));
    expect((await check(['--json'], { GATELODGE_DATA_DIR: copy })).code).toBe(1);
    await rm(copy, { recursive: true });
  });

  test('78: where there is no data directory', async () => {
    const { code, stderr } = await check([], { GATELODGE_DATA_DIR: join(dataDir, 'misspelt') });
    expect(code).toBe(exitCodes.configuration);
    expect(stderr).toContain('GATELODGE_DATA_DIR');
  });

  test('0: tells what it does', async () => {
    const { code, stdout } = await check(['--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('--json');
  });
});
