import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { removeClusterHome } from '../../src/supervisor/cluster-home.ts';
import { openDataDirectory } from '../../src/supervisor/data-directory.ts';
import { checkTouched } from '../crash/check-load.ts';
import { MixedLoad } from '../crash/mixed-load.ts';
import { ApiClient } from '../harness/api-client.ts';
import { freePort, GatelodgeProcess, isReady, isRunning, waitFor } from '../harness/process.ts';
import { canMount, SmallDisk } from '../harness/small-disk.ts';
import { failsToStart, startsAndStops } from './failed-start.ts';

const isRoot = process.geteuid?.() === 0;

if (canMount) {
  it('a disk too small to begin on is told, and with room the same start succeeds', async () => {
    await using disk = await SmallDisk.mount('20m');
    const settings = {
      GATELODGE_DATA_DIR: join(disk.path, 'data'),
      GATELODGE_PORT: String(await freePort()),
    };
    const { stderr } = await failsToStart(settings, { code: 69 });
    expect(stderr).toContain('Make room');
    await disk.remount('size=400m');
    await startsAndStops(settings);
  });

  it('a disk that fills up under load fails requests with 503 and nothing else, and with room all goes on', async () => {
    await using disk = await SmallDisk.mount('400m');
    const dataDir = join(disk.path, 'data');
    const settings = { GATELODGE_DATA_DIR: dataDir, GATELODGE_PORT: String(await freePort()) };
    await using process = GatelodgeProcess.run(['start'], {
      env: { ...settings, GATELODGE_LOG_LEVEL: 'error' },
    });
    await process.becomesReady();
    const { api_key, demo } = JSON.parse(await readFile(join(dataDir, 'bootstrap.json'), 'utf8'));
    const serverPid = Number.parseInt(await readFile(join(dataDir, 'server.pid'), 'utf8'), 10);
    const load = new MixedLoad(new ApiClient(process.url, api_key), demo.issuer_id);
    load.start(8);
    await sleep(300);
    await disk.fill();
    await waitFor(() => (load.unanswered > 5 ? true : null));
    await sleep(500);
    await disk.makeRoom();
    await waitFor(async () => (await isReady(process.url)) || null);
    const { acknowledged } = load;
    await waitFor(() => (load.acknowledged > acknowledged + 20 ? true : null));
    await load.stop();
    await checkTouched(load);
    expect(await isRunning(serverPid)).toBe(true);
    process.child.kill('SIGTERM');
    expect((await process.ended).code).toBe(0);

    await disk.fill();
    const { stderr } = await failsToStart(settings, { code: 69 });
    expect(stderr).toMatch(/Make room/);
    await disk.makeRoom();
    await startsAndStops(settings);
  });

  it('a data directory on a read-only disk is told, and once it can be written the same start succeeds', async () => {
    await using disk = await SmallDisk.mount('400m');
    const settings = {
      GATELODGE_DATA_DIR: join(disk.path, 'data'),
      GATELODGE_PORT: String(await freePort()),
    };
    await disk.remount('ro');
    const { stderr } = await failsToStart(settings, { code: 78 });
    expect(stderr).toContain('GATELODGE_DATA_DIR');
    await disk.remount('rw');
    expect(await readdir(disk.path)).toEqual([]);
    await startsAndStops(settings);
  });
} else {
  // Without a file system of its own a full disk cannot be had; an unwritable directory can, unless root runs this.
  it('a data directory that cannot be written is told, and once it can be the same start succeeds', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'gatelodge-readonly-'));
    const settings = { GATELODGE_DATA_DIR: join(parent, 'data'), GATELODGE_PORT: String(await freePort()) };
    if (isRoot) await writeFile(settings.GATELODGE_DATA_DIR, 'no directory at all');
    else await chmod(parent, 0o500);
    const { stderr } = await failsToStart(settings, { code: 78 });
    expect(stderr).toContain('GATELODGE_DATA_DIR');
    if (isRoot) await rm(settings.GATELODGE_DATA_DIR);
    else await chmod(parent, 0o700);
    await startsAndStops(settings);
    await removeClusterHome(await openDataDirectory(settings.GATELODGE_DATA_DIR));
    await rm(parent, { recursive: true, force: true });
  });
}
