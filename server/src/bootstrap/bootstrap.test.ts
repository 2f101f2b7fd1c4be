import { readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { startTestServer } from '../../test/harness/server.ts';
import { bootstrapPath, ensureBootstrap } from './bootstrap.ts';

it('a damaged bootstrap.json, which only tells how to begin, keeps no server from starting', async () => {
  const server = await startTestServer();
  try {
    const { services } = server.running;
    const path = bootstrapPath(server.dataDir);
    const text = await readFile(path, 'utf8');
    for (const damaged of ['{', 'null', '', '[]', '{"account_id":1}']) {
      await writeFile(path, damaged);
      expect(await ensureBootstrap(services, { demo: false })).toBeNull();
      expect(await readFile(path, 'utf8')).toBe(damaged);
    }
    await writeFile(path, text);
    expect(await ensureBootstrap(services, { demo: false })).toEqual(JSON.parse(text));
  } finally {
    await server.close();
  }
});
