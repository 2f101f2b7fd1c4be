import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { throwAwayDirectory } from '../../src/supervisor/fixtures/throw-away-directory.ts';
import { ApiClient } from '../harness/api-client.ts';
import { freePort, GatelodgeProcess } from '../harness/process.ts';
import { failsToStart, startsAndStops } from './failed-start.ts';

it('another master key than the database’s is refused, nothing is damaged, and the right one opens everything', async () => {
  await using directory = await throwAwayDirectory();
  const data = await directory.openWithCluster();
  const settings = { GATELODGE_DATA_DIR: data.path, GATELODGE_PORT: String(await freePort()) };
  await startsAndStops(settings);
  const keyFile = join(data.path, 'master-key');
  const bootstrap = await readFile(join(data.path, 'bootstrap.json'), 'utf8');

  const other = await failsToStart({ ...settings, GATELODGE_MASTER_KEY: generateKeyText() }, { code: 78 });
  expect(other.stderr).toContain('GATELODGE_MASTER_KEY');
  const malformed = await failsToStart({ ...settings, GATELODGE_MASTER_KEY: 'changeme' }, { code: 78 });
  expect(malformed.stderr).toContain('GATELODGE_MASTER_KEY');
  expect(malformed.stderr).not.toContain('changeme');
  await rename(keyFile, `${keyFile}.kept`);
  const lost = await failsToStart(settings, { code: 78 });
  expect(lost.stderr).toContain(keyFile);
  await rename(`${keyFile}.kept`, keyFile);

  await using process = GatelodgeProcess.run(['start'], { env: settings });
  await process.becomesReady();
  expect(await readFile(join(data.path, 'bootstrap.json'), 'utf8')).toBe(bootstrap);
  const { api_key, demo } = JSON.parse(bootstrap);
  const verified = await new ApiClient(process.url, api_key).post('/v1/keys/verify', {
    key: demo.api_key.secret,
  });
  expect(verified.body.code).toBe('VALID');
  process.child.kill('SIGTERM');
  expect((await process.ended).code).toBe(0);
});
