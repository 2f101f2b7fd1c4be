import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { Installation } from '../harness/installation.ts';
import { waitFor } from '../harness/process.ts';
import { StoppablePostgres } from '../harness/stoppable-postgres.ts';
import { checkExact } from './check-metering.ts';
import { MeteredLoad, type ToldLimit } from './metered-load.ts';
import { type MeteredWorld, makeMeteredWorld } from './metered-world.ts';

let postgres: StoppablePostgres;
let installation: Installation;
let world: MeteredWorld;
let load: MeteredLoad;

beforeAll(async () => {
  postgres = await StoppablePostgres.start();
  installation = await Installation.make({
    env: {
      DATABASE_URL: postgres.appUrl,
      DATABASE_OWNER_URL: postgres.databaseUrl('gatelodge', 'gatelodge_owner'),
      GATELODGE_MASTER_KEY: generateKeyText(),
    },
  });
  await installation.start();
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});
beforeEach(async () => {
  const sizes = { tenantMonth: 200, keyMonth: 100, credits: 50 };
  world = await makeMeteredWorld(installation.url, await installation.operator(), sizes);
  load = new MeteredLoad(installation.url, world.caller, world.cases);
});

/** Asks until so many more have been answered, all of them. */
async function askFor(answers: number): Promise<void> {
  const until = load.answered + answers;
  load.start(8);
  await waitFor(() => load.answered >= until || null);
  await load.stop();
  expect(load.unanswered).toEqual([]);
}

it('a start counts what a killed process has acknowledged and not folded, in usage and in limits', async () => {
  // Memory knows all of it before Postgres goes, so that nothing is folded and everything is answered.
  await askFor(200);
  await postgres.stop('SIGKILL');
  await askFor(600);
  const { server } = await installation.processIds();
  process.kill(server, 'SIGKILL');
  await postgres.startAgain();
  await installation.becomesReadyAnew(server);
  await checkExact(load, world);
  // And not a second time, by the start after that.
  const second = await installation.processIds();
  process.kill(second.server, 'SIGKILL');
  await installation.becomesReadyAnew(second.server);
  await checkExact(load, world);
});

it.each(['a stop', 'a kill'])('limits stand after %s as they stood before', async (how) => {
  await askFor(500);
  const before = await standing();
  if (how === 'a stop') {
    expect((await installation.stop()).code).toBe(0);
    await installation.start();
  } else {
    const { server } = await installation.processIds();
    process.kill(server, 'SIGKILL');
    await installation.becomesReadyAnew(server);
  }
  expect(await standing()).toEqual(before);
  await checkExact(load, world);
});

/** Every limit of every case that is not over within the test. */
async function standing(): Promise<ToldLimit[][]> {
  const all = await Promise.all(world.cases.map((each) => load.limitsOf(each)));
  return all.map((limits) => limits.filter(({ name }) => name in world.lasting));
}
