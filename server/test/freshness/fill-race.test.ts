import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresProxy } from '../harness/postgres-proxy.ts';
import { isSoak, scaled } from '../harness/scale.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { boundMs, makeKey } from './changes.ts';

const keysAtOnce = 25;
const rounds = scaled(2, 40);

let one: TestServer;
let other: TestServer;
let proxy: PostgresProxy;

beforeAll(async () => {
  one = await startTestServer();
  proxy = await PostgresProxy.start(one.database.appUrl);
  other = await startTestServer({ nodeOf: one, env: { DATABASE_URL: proxy.url(one.database.appUrl) } });
});
afterAll(async () => {
  proxy.thaw();
  await other.close();
  await proxy.close();
  await one.close();
});

/** Keeps answers with a key's row back for random times, so that fills end long after they have read. */
async function delayAnswers(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    proxy.holdBack('racing key');
    await sleep(Math.random() * 150);
    proxy.thaw();
    await sleep(Math.random() * 30);
  }
}

async function ask(secret: string): Promise<string> {
  return (await other.operator.api.post('/v1/keys/verify', { key: secret })).body.code;
}

// Attack: the record is read just before the revocation and comes to be kept just after its notice, where nothing
// would ever remove it. Whoever holds the key can try as often as there are keys to lose.
it('a fill of the cache that races a revocation never outlives it', async () => {
  let raced = 0;
  for (let round = 0; round < rounds; round++) {
    const path = `/v1/issuers/${one.demo.issuerId}`;
    const keys = await Promise.all(
      Array.from({ length: keysAtOnce }, () => makeKey(one.operator.api, path, { name: 'racing key' })),
    );
    const racing = new AbortController();
    const delaying = delayAnswers(racing.signal);
    const revocations = keys.map(async (key) => {
      await sleep(Math.random() * 250);
      const revoking = one.operator.api.post(`${path}/api-keys/${key.id}/revoke`);
      // The first that this node hears of the key, around the moment at which it dies.
      await sleep(Math.random() * 10);
      const asking = Promise.all([ask(key.secret), sleep(Math.random() * 20).then(() => ask(key.secret))]);
      expect((await revoking).status).toBe(200);
      const committedAt = performance.now();
      if ((await asking).includes('VALID')) raced++;
      await sleep(committedAt + boundMs - performance.now());
      return Promise.all([ask(key.secret), ask(key.secret)]);
    });
    const said = await Promise.all(revocations);
    racing.abort();
    await delaying;
    expect(new Set(said.flat())).toEqual(new Set(['REVOKED']));
  }
  expect(raced).toBeGreaterThan(0);
  if (isSoak)
    console.log(`SOAK fill races: ${rounds * keysAtOnce} revocations, ${raced} of them raced, 0 outlived`);
});
