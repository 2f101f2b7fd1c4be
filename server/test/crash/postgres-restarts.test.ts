import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import type { ApiClient } from '../harness/api-client.ts';
import { NodeProcess } from '../harness/node-process.ts';
import { isReady, waitFor } from '../harness/process.ts';
import { isSoak, scaled } from '../harness/scale.ts';
import { StoppablePostgres } from '../harness/stoppable-postgres.ts';
import { checkAll, checkTouched } from './check-load.ts';
import { MixedLoad } from './mixed-load.ts';

const stops = scaled(3, 20);
const ways = ['SIGINT', 'SIGKILL', 'SIGQUIT'] as const;

let postgres: StoppablePostgres;
let node: NodeProcess;
let api: ApiClient;
let load: MixedLoad;
let cached: { id: string; secret: string }[];
const recoveryMs: number[] = [];
let verifiedWhileAway = 0;

beforeAll(async () => {
  postgres = await StoppablePostgres.start();
  node = await NodeProcess.start({
    DATABASE_URL: postgres.appUrl,
    GATELODGE_MASTER_KEY: generateKeyText(),
    GATELODGE_STALE_SECONDS: '30',
  });
  const bootstrap = await node.bootstrap();
  api = node.api(bootstrap);
  const path = `/v1/issuers/${bootstrap.demo.issuer_id}/api-keys`;
  cached = await Promise.all(Array.from({ length: 5 }, () => api.create(path))).then((made) =>
    made.map(({ id, secret_plain }) => ({ id, secret: secret_plain })),
  );
  load = new MixedLoad(api, bootstrap.demo.issuer_id);
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** Verifies cached keys without a pause. Whatever is not a decision in their favour is kept. */
async function verifyCached(signal: AbortSignal): Promise<{ verified: number; failures: string[] }> {
  const failures: string[] = [];
  let verified = 0;
  for (; !signal.aborted; verified++) {
    const answer = await api.post('/v1/keys/verify', { key: cached[verified % cached.length]!.secret });
    if (answer.body.code !== 'VALID') failures.push(`${answer.status} ${answer.text}`);
    await sleep(2);
  }
  return { verified, failures };
}

/** Until a management call that reads and one that writes succeed again, and memory is believed again. */
async function allIsBack(): Promise<void> {
  await waitFor(async () => (await api.get('/readyz')).body.checks?.freshness === 'fresh' || null);
  await waitFor(async () => (await isReady(node.url)) || null);
  await waitFor(async () => (await api.get('/v1/account')).status === 200 || null);
  await waitFor(async () => (await api.post('/v1/issuers', { name: 'after' })).status === 201 || null);
}

it.each(Array.from({ length: stops }, (_, index) => [index + 1, ways[index % ways.length]!] as const))(
  'stop number %i of Postgres (%s) under load: cached keys go on verifying, and all recovers',
  async (_index, signal) => {
    // Once around, so that memory has them after the flush of a reconnect.
    for (const key of cached) await api.post('/v1/keys/verify', { key: key.secret });
    load.start(4);
    const away = new AbortController();
    const verifying = verifyCached(away.signal);
    await sleep(100 + Math.random() * 200);
    await postgres.stop(signal);
    const managed = await Promise.all([
      api.get('/v1/account'),
      api.post('/v1/issuers', { name: 'never' }),
      api.get('/v1/events'),
    ]);
    expect(managed.map(({ status, body }) => [status, body.code])).toEqual(
      managed.map(() => [503, 'unavailable']),
    );
    await sleep(Math.random() * 1_500);
    away.abort();
    const { verified, failures } = await verifying;
    expect(failures).toEqual([]);
    verifiedWhileAway += verified;

    await postgres.startAgain();
    const backAt = performance.now();
    await allIsBack();
    recoveryMs.push(performance.now() - backAt);
    await load.stop();
    expect(node.process.hasEnded).toBe(false);
    await checkTouched(load);
  },
);

it('after all stops nothing acknowledged is missing, and recovery never took longer than 5 s', async () => {
  await checkAll(load);
  expect(verifiedWhileAway).toBeGreaterThan(100);
  // The contract's figure.
  expect(Math.max(...recoveryMs)).toBeLessThanOrEqual(5_000);
  if (isSoak) {
    console.log(
      `SOAK Postgres stopped and started: ${stops} times, ${verifiedWhileAway} verifications of cached keys, 0 failed; ` +
        `${load.acknowledged} other requests acknowledged, ${load.unanswered} unanswered, 0 answered 500; ` +
        `slowest recovery ${Math.round(Math.max(...recoveryMs))} ms`,
    );
  }
});
