import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Installation, type ProcessIds } from '../harness/installation.ts';
import { childrenOf, isReady, isRunning, waitFor } from '../harness/process.ts';
import { isSoak, scaled } from '../harness/scale.ts';
import { checkAll, checkTouched } from './check-load.ts';
import { MixedLoad } from './mixed-load.ts';

const kills = scaled(5, 50);
const clients = 8;

let installation: Installation;
let load: MixedLoad;
const readyMs: number[] = [];

beforeAll(async () => {
  installation = await Installation.make();
  await installation.start();
  load = new MixedLoad(await installation.operator(), (await installation.bootstrap()).demo.issuer_id);
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
});

function kill(...pids: number[]): void {
  for (const pid of pids) process.kill(pid, 'SIGKILL');
}

/** What is killed, and how it comes back. Each answers how long it took from the restart until all was ready. */
const victims: [string, (pids: ProcessIds) => Promise<number>][] = [
  [
    'the server',
    async ({ server, supervisor }) => {
      const killedAt = performance.now();
      kill(server);
      await installation.becomesReadyAnew(server);
      expect(await isRunning(supervisor)).toBe(true);
      return performance.now() - killedAt;
    },
  ],
  [
    'the supervisor',
    async (pids) => {
      kill(pids.supervisor);
      await installation.running.ended;
      const ready = await installation.start();
      expect(await Promise.all([pids.server, pids.postgres].map(isRunning))).toEqual([false, false]);
      return ready;
    },
  ],
  [
    'server and supervisor',
    async (pids) => {
      kill(pids.server, pids.supervisor);
      await installation.running.ended;
      const ready = await installation.start();
      expect(await isRunning(pids.postgres)).toBe(false);
      return ready;
    },
  ],
  [
    'Postgres',
    async (pids) => {
      const killedAt = performance.now();
      kill(pids.postgres);
      await waitFor(async () => {
        const { postgres } = await installation.processIds();
        const isNew = Number.isInteger(postgres) && postgres !== pids.postgres;
        return (isNew && (await isReady(installation.url))) || null;
      });
      // It lives through it, and so does its memory.
      expect((await installation.processIds()).server).toBe(pids.server);
      return performance.now() - killedAt;
    },
  ],
  [
    'all of them, and the supervisor again while it starts',
    async (pids) => {
      kill(pids.supervisor, pids.server, pids.postgres);
      await installation.running.ended;
      const starting = installation.start().catch(() => {});
      await sleep(Math.random() * 1_200);
      const children = await childrenOf(installation.running.pid);
      kill(...children);
      if (children.length > 0) await installation.running.ended;
      await starting;
      return installation.running.hasEnded ? installation.start() : 0;
    },
  ],
];

it.each(
  Array.from({ length: kills }, (_, index) => [index + 1, ...victims[index % victims.length]!] as const),
)('kill -9 number %i, of %s, loses nothing acknowledged and halves nothing', async (_index, _name, kill) => {
  load.start(clients);
  await sleep(200 + Math.random() * 500);
  readyMs.push(await kill(await installation.processIds()));
  await sleep(100);
  await load.stop();
  await checkTouched(load);
});

it('after all kills every key is there with the one event of its creation, and the installation stops as ever', async () => {
  await checkAll(load);
  expect(load.unanswered).toBeGreaterThan(0);
  // The contract's figure.
  expect(Math.max(...readyMs)).toBeLessThanOrEqual(5_000);
  expect((await installation.stop()).code).toBe(0);
  if (isSoak) {
    console.log(
      `SOAK kill -9: ${kills} kills, ${load.acknowledged} requests acknowledged, ${load.unanswered} unanswered, ` +
        `${load.keys.length} keys, 0 lost, 0 halved, 0 doubled; slowest ready ${Math.round(Math.max(...readyMs))} ms`,
    );
  }
});
