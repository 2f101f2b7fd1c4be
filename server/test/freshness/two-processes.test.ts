import { expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { asSuperuser, createTestDatabase } from '../harness/database.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { makeAndWatch, prepareChanges } from './changes.ts';

// Attack: as in two-nodes.test.ts. Here the nodes share nothing but Postgres, not even an event loop.
it.each([
  ['whose way to Postgres is in order', false],
  ['that has just lost its connection for changes', true],
])('a change made by one server process holds within a second at another %s', async (_name, isCut) => {
  const database = await createTestDatabase();
  try {
    const settings = { DATABASE_URL: database.appUrl, GATELODGE_MASTER_KEY: generateKeyText() };
    await using one = await NodeProcess.start(settings);
    await using other = await NodeProcess.start(settings);
    const bootstrap = await one.bootstrap();
    const changes = await prepareChanges({ one: one.api(bootstrap), other: other.api(bootstrap) });
    const found = await makeAndWatch(changes, async () => {
      if (!isCut) return;
      await asSuperuser(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'gatelodge changes' and datname = '${database.name}'`,
      );
    });
    expect(found.filter(({ late }) => late.length > 0)).toEqual([]);
    expect(found).toHaveLength(changes.length);
  } finally {
    await database.drop();
  }
});
