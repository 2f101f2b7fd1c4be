import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, it } from 'vitest';
import { Installation } from '../harness/installation.ts';
import { childrenOf, waitFor } from '../harness/process.ts';
import { isSoak, scaled } from '../harness/scale.ts';

const kills = scaled(2, 20);

/** Starts it for the first time and kills everything at a random moment after Postgres has come up. */
async function killFirstStart(installation: Installation): Promise<void> {
  const starting = installation.start().catch(() => {});
  const pidFile = join(installation.data.path, 'postgres', 'cluster', 'postmaster.pid');
  const postmaster = await waitFor(async () => {
    const lines = (await readFile(pidFile, 'utf8').catch(() => '')).split('\n');
    return lines[7]?.trim() === 'ready' ? Number(lines[0]) : null;
  });
  await sleep(Math.random() * 1_200);
  const [supervisor] = await childrenOf(installation.running.pid);
  for (const pid of [...(await childrenOf(supervisor!)), supervisor!, postmaster]) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Its parent took it along.
    }
  }
  await installation.running.ended;
  await starting;
}

it(`a first start killed at ${kills} random moments leaves nothing half-made: the next one has one whole first account`, async () => {
  let halfWay = 0;
  for (let round = 0; round < kills; round++) {
    await using installation = await Installation.make({ hasCluster: true });
    await killFirstStart(installation);
    if (await isUnfinished(installation)) halfWay++;
    await installation.start();
    const { account_id, demo } = await installation.bootstrap();
    const operator = await installation.operator();
    expect((await operator.get('/v1/me')).body.data.account_id).toBe(account_id);
    const verified = await operator.post('/v1/keys/verify', { key: demo.api_key.secret });
    expect(verified.body).toMatchObject({ code: 'VALID', issuer_id: demo.issuer_id });
    const client = new pg.Client({ connectionString: installation.superuserUrl });
    await client.connect();
    const { rows } = await client.query('select id from gatelodge.accounts');
    await client.end();
    expect(rows).toEqual([{ id: account_id }]);
  }
  if (isSoak)
    console.log(
      `SOAK kill -9 of the first start: ${kills} kills, ${halfWay} before it was done, 0 half-made`,
    );
});

async function isUnfinished(installation: Installation): Promise<boolean> {
  return installation.bootstrap().then(
    () => false,
    () => true,
  );
}
