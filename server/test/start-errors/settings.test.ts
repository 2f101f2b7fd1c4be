import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { throwAwayDirectory } from '../../src/supervisor/fixtures/throw-away-directory.ts';
import { freePort } from '../harness/process.ts';
import { failsToStart, startsAndStops } from './failed-start.ts';

it('settings that are wrong are named with what to do, nothing is touched, and the right ones start', async () => {
  await using directory = await throwAwayDirectory();
  const data = await directory.openWithCluster();
  const right = { GATELODGE_DATA_DIR: data.path, GATELODGE_PORT: String(await freePort()) };
  const before = (await readdir(data.path)).sort();
  const wrong: [string, NodeJS.ProcessEnv][] = [
    ['GATELODGE_PORT', { GATELODGE_PORT: '70000' }],
    ['GATELODGE_HOST', { GATELODGE_HOST: '203.0.113.7' }],
    ['GATELODGE_PUBLIC_URL', { GATELODGE_PUBLIC_URL: 'https://api.example.com/path' }],
    // A public URL means production, where no secret is generated in silence.
    ['GATELODGE_MASTER_KEY', { GATELODGE_PUBLIC_URL: 'https://api.example.com' }],
    ['GATELODGE_MODE', { GATELODGE_PUBLIC_URL: 'https://api.example.com', GATELODGE_MODE: 'development' }],
    ['DATABASE_URL', { DATABASE_OWNER_URL: 'postgres://owner@127.0.0.1/gatelodge' }],
    ['GATELODGE_TLS_KEY', { GATELODGE_TLS_CERT: '/etc/hostname' }],
    ['GATELODGE_STALE_SECONDS', { GATELODGE_STALE_SECONDS: '-1' }],
  ];
  await Promise.all(
    wrong.map(async ([variable, settings]) => {
      const { stderr } = await failsToStart({ ...right, ...settings }, { code: 78 });
      expect(stderr).toContain(variable);
    }),
  );
  const after = (await readdir(data.path)).sort();
  expect(after.filter((name) => name !== 'lock')).toEqual(before.filter((name) => name !== 'lock'));
  await startsAndStops(right);
});

it('a certificate that cannot be served is named, instead of trying again and again', async () => {
  await using directory = await throwAwayDirectory();
  const data = await directory.openWithCluster();
  const right = { GATELODGE_DATA_DIR: data.path, GATELODGE_PORT: String(await freePort()) };
  const garbage = join(directory.path, 'garbage.pem');
  await writeFile(garbage, 'not a certificate');
  const missing = { GATELODGE_TLS_CERT: join(directory.path, 'none.pem'), GATELODGE_TLS_KEY: garbage };
  const unreadable = await failsToStart({ ...right, ...missing }, { code: 78 });
  expect(unreadable.stderr).toContain('GATELODGE_TLS_CERT');
  const malformed = { GATELODGE_TLS_CERT: garbage, GATELODGE_TLS_KEY: garbage };
  const unusable = await failsToStart({ ...right, ...malformed }, { code: 78 });
  expect(unusable.stderr).toContain(garbage);
  expect(unusable.stderr).toContain('GATELODGE_TLS_KEY');
});

it('a taken port is named with the setting that changes it, and the port’s owner goes on undisturbed', async () => {
  await using directory = await throwAwayDirectory();
  const data = await directory.openWithCluster();
  const owner = createServer((socket) => socket.end('mine')).listen(0, '127.0.0.1');
  await once(owner, 'listening');
  const settings = {
    GATELODGE_DATA_DIR: data.path,
    GATELODGE_PORT: String((owner.address() as AddressInfo).port),
  };
  const { stderr } = await failsToStart(settings, { code: 69 });
  expect(stderr).toContain(settings.GATELODGE_PORT);
  expect(stderr).toContain('GATELODGE_PORT=');
  expect(owner.listening).toBe(true);
  owner.close();
  await once(owner, 'close');
  await startsAndStops(settings);
});
