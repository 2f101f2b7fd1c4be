import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { PostgresProxy } from '../harness/postgres-proxy.ts';
import { scaled } from '../harness/scale.ts';

let database: TestDatabase;
let proxy: PostgresProxy;

beforeEach(async () => {
  database = await createTestDatabase();
  proxy = await PostgresProxy.start(database.appUrl);
});
afterEach(async () => {
  proxy.thaw();
  await proxy.close();
  await database.drop();
});

it.each([
  ['is away', () => proxy.refuse()],
  ['takes everything and answers nothing', async () => proxy.freeze()],
])('SIGTERM ends a server with code 0 within 10 s also when Postgres %s', async (_name, breakIt) => {
  await using node = await NodeProcess.start({
    DATABASE_URL: proxy.url(database.appUrl),
    GATELODGE_MASTER_KEY: generateKeyText(),
  });
  const bootstrap = await node.bootstrap();
  const { demo } = bootstrap;
  const api = node.api(bootstrap);
  expect((await api.post('/v1/keys/verify', { key: demo.api_key.secret })).body.code).toBe('VALID');
  await breakIt();
  // Requests that wait for Postgres when the stop comes. They may be cut off after 7 s, but must not hold up the end.
  const waiting = Array.from({ length: scaled(0, 20) }, () =>
    api.post('/v1/issuers', { name: 'never' }).catch(() => null),
  );
  expect((await api.post('/v1/keys/verify', { key: demo.api_key.secret })).body.code).toBe('VALID');
  const stoppedAt = performance.now();
  node.process.child.kill('SIGTERM');
  for (const answer of await Promise.all(waiting)) expect([undefined, 503]).toContain(answer?.status);
  const ended = await node.process.ended;
  expect(ended).toMatchObject({ code: 0 });
  // The contract's figure.
  expect(performance.now() - stoppedAt).toBeLessThanOrEqual(10_000);
});
