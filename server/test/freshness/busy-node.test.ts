import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresProxy } from '../harness/postgres-proxy.ts';
import { scaled } from '../harness/scale.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { makeKey } from './changes.ts';

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

function holdUpTheProcess(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

// Attack: the thief of a revoked key keeps a node so busy that it is late to read what Postgres has long answered. A
// node that takes its own lateness for an outage would go on with the record from before the revocation.
it('a node that is too busy to listen does not take that for an outage of Postgres', async () => {
  const path = `/v1/issuers/${one.demo.issuerId}`;
  const key = await makeKey(one.operator.api, path);
  const ask = async () => {
    const { status, body } = await other.operator.api.post('/v1/keys/verify', { key: key.secret });
    return status === 200 ? (body.code as string) : String(status);
  };
  await expect.poll(ask, { timeout: 20_000 }).toBe('VALID');
  proxy.refuseOnly('gatelodge changes');
  const revoked = await one.operator.api.post(`${path}/api-keys/${key.id}/revoke`);
  expect(revoked.status).toBe(200);
  // Past the second in which the node may still believe its memory.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const said: Promise<string>[] = [];
  for (let i = 0; i < scaled(6, 40); i++) {
    said.push(ask());
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    holdUpTheProcess(450);
  }
  expect((await Promise.all(said)).filter((code) => code === 'VALID')).toEqual([]);
});
