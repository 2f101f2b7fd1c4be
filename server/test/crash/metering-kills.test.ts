import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { Installation } from '../harness/installation.ts';
import { GatelodgeProcess, isRunning, waitFor } from '../harness/process.ts';
import { isSoak, scaled } from '../harness/scale.ts';
import { StoppablePostgres } from '../harness/stoppable-postgres.ts';
import { checkBounds, checkExact, checkPassedWindows } from './check-metering.ts';
import { MeteredLoad } from './metered-load.ts';
import { type MeteredWorld, makeMeteredWorld } from './metered-world.ts';
import { UsageReader } from './usage-reader.ts';

/*
 * The server is killed while clients ask for decisions and count the answers by themselves. Nothing that was answered
 * may be missing from usage or from the windows of limits, and nothing may be in them that was never asked.
 */

const kills = scaled(3, 50);
const clients = 32;
const metricsToken = 'metrics-token-of-the-kills-0123456789';
const signals = ['SIGINT', 'SIGKILL', 'SIGQUIT'] as const;

let postgres: StoppablePostgres;
let installation: Installation;
let world: MeteredWorld;
let load: MeteredLoad;
let reader: UsageReader;
const readyMs: number[] = [];
let cutOff = 0;
let stops = 0;

beforeAll(async () => {
  postgres = await StoppablePostgres.start();
  installation = await Installation.make({
    env: {
      DATABASE_URL: postgres.appUrl,
      DATABASE_OWNER_URL: postgres.databaseUrl('gatelodge', 'gatelodge_owner'),
      GATELODGE_MASTER_KEY: generateKeyText(),
      GATELODGE_METRICS_TOKEN: metricsToken,
    },
  });
  await installation.start();
  world = await makeMeteredWorld(installation.url, await installation.operator(), {
    tenantMonth: scaled(300, 5_000),
    keyMonth: scaled(150, 2_000),
    credits: scaled(100, 1_500),
  });
  load = new MeteredLoad(installation.url, world.caller, world.cases);
  reader = new UsageReader(load, world);
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

/** Kills the server. Resolves once another one is ready, which the supervisor has started. */
async function killServer({ supervisor, server }: { supervisor: number; server: number }): Promise<void> {
  process.kill(server, 'SIGKILL');
  await installation.becomesReadyAnew(server);
  expect(await isRunning(supervisor)).toBe(true);
}

const randomMs = (most: number) => sleep(Math.random() * most);

async function stopPostgres(): Promise<void> {
  await postgres.stop(signals[stops++ % signals.length]);
}

/** How much the server has found to be wrong with files of the ledger; the torn end of a killed one is nothing wrong. */
async function findings(): Promise<number> {
  const headers = { Authorization: `Bearer ${metricsToken}` };
  const text = await fetch(`${installation.url}/metrics`, { headers }).then((answer) => answer.text());
  return Number(/^gatelodge_ledger_findings (\d+)$/m.exec(text)?.[1]);
}

/** What happens around a kill. Each answers since when a server could have been ready. */
const ways: [string, () => Promise<number>][] = [
  [
    'with Postgres there',
    async () => {
      const killedAt = performance.now();
      await killServer(await installation.processIds());
      return killedAt;
    },
  ],
  [
    'while Postgres is away',
    async () => {
      const ids = await installation.processIds();
      await stopPostgres();
      // Decided by what memory knows, and not folded.
      await randomMs(500);
      const killed = killServer(ids);
      await randomMs(700);
      await postgres.startAgain();
      const backAt = performance.now();
      await killed;
      return backAt;
    },
  ],
  [
    'just after Postgres was away',
    async () => {
      const ids = await installation.processIds();
      await stopPostgres();
      await randomMs(500);
      await postgres.startAgain();
      await randomMs(1_200);
      const killedAt = performance.now();
      await killServer(ids);
      return killedAt;
    },
  ],
];

it.each(Array.from({ length: kills }, (_, index) => [index + 1, ...ways[index % ways.length]!] as const))(
  'kill -9 number %i under load, %s: all that was answered is metered and charged, once',
  async (_index, _way, kill) => {
    load.start(clients);
    reader.start();
    await sleep(100 + Math.random() * 1_400);
    const since = await kill();
    readyMs.push(performance.now() - since);
    await randomMs(300);
    await Promise.all([load.stop(), reader.stop()]);
    expect(reader.missing.splice(0)).toEqual([]);
    cutOff += load.unanswered.length;
    await checkBounds(load, world);
    await load.retryUnanswered();
    await checkExact(load, world);
    checkPassedWindows(load);
    expect(await findings()).toBe(0);
  },
);

it('after all kills every limit is used up, none was passed, and the files of the ledger are sound', async () => {
  load.start(clients);
  // One may be left that is too little for a request that costs two.
  const isUsedUp = (name: string) => (load.used.get(name) ?? 0) >= world.lasting[name]! - 1;
  await waitFor(() => ['tenant-month', 'key-month', 'quota'].every(isUsedUp) || null);
  await load.stop();
  await checkExact(load, world);
  expect(load.countOf('RATE_LIMITED')).toBeGreaterThan(0);
  expect(cutOff).toBeGreaterThan(0);
  expect(reader.readings).toBeGreaterThan(0);
  expect((await installation.stop()).code).toBe(0);
  await using check = GatelodgeProcess.run(['ledger', 'check'], {
    env: { DATABASE_URL: postgres.appUrl, GATELODGE_DATA_DIR: installation.data.path },
  });
  expect(await check.ended).toMatchObject({ code: 0 });
  if (!isSoak) return;
  // The contract's figure, for a machine that does nothing else.
  expect(Math.max(...readyMs)).toBeLessThanOrEqual(5_000);
  console.log(
    `SOAK metering under kill -9: ${kills} kills with ${clients} connections, Postgres stopped ${stops} times; ` +
      `${load.answered} decisions acknowledged, ${cutOff} cut off and asked again; 0 lost, 0 doubled, 0 over a limit; ` +
      `${reader.readings} readings of usage meanwhile, none behind; slowest ready ${Math.round(Math.max(...readyMs))} ms`,
  );
});
