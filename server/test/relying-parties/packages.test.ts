import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { installInto, readGuide } from './packages.ts';

test('says what to do where npm reaches no registry, and leaves nothing half done', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'gatelodge-relying-parties-'));
  try {
    const nowhere = { npm_config_registry: 'http://127.0.0.1:9/', npm_config_fetch_retries: '0' };
    const env = { ...process.env, ...nowhere, npm_config_cache: join(cache, 'npm') };
    const installing = installInto(join(cache, 'here'), env);
    await expect(installing).rejects.toThrow('npx vitest run --exclude "server/test/relying-parties/**"');
    expect(await readdir(join(cache, 'here'))).toEqual([]);
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
});

test('the guide has no snippet that no test runs', async () => {
  const guide = await readGuide();
  const names = [...guide.matchAll(/<!-- (.*?) -->\n```/g)].map(([, name]) => name);
  expect(names.sort()).toEqual([
    'auth.js',
    'auth.js client',
    'mcp server',
    'mcp settings',
    'mod_auth_openidc',
    'mod_auth_openidc client',
    'oidc-client-ts',
    'oidc-client-ts client',
    'openid-client',
    'openid-client client',
  ]);
  // One more shows what tokens say of organizations.
  expect(guide.match(/^```\w+$/gm)).toHaveLength(names.length + 1);
});
