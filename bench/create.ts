import { setTimeout as sleep } from 'node:timers/promises';
import { everyCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { stockIssuer } from './issuers.ts';
import type { Expected } from './load.ts';
import type { BenchOptions, Pace } from './options.ts';
import { Helper } from './processes.ts';
import { postJson } from './requests.ts';
import { type Row, record } from './results.ts';
import { alternate, measure } from './rounds.ts';
import { round2 } from './statistics.ts';

const connectionCounts = [1, 16];
const expected: Expected = { status: 201, text: '"secret_plain"' };

/** Keys made over HTTP, each with its event, against plain transactions of the same two rows. */
export async function benchCreate(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const gatelodge = cleanup.use(await Gatelodge.start());
  const issuer = await stockIssuer(gatelodge, { keys: options.keys, hot: 0, organizations: 1_000 });
  const path = `/v1/issuers/${issuer.id}/organizations/${await someOrganization(gatelodge, issuer.id)}/api-keys`;
  const body = { name: 'Made by the benchmark', restrictions: { scopes: ['invoices:read'] } };
  const model = await gatelodge.create<{ id: string }>(path, body);
  const env = { DATABASE_URL: gatelodge.postgres.url() };
  const floor = cleanup.use(await Helper.start('./insert-floor.ts', [model.id], env));
  // Both wait for Postgres, which is as real as it gets on two cores.
  await gatelodge.postgres.useCores(everyCore);

  const request = postJson(path, body, [`Authorization: ${gatelodge.authorization}`]);
  const ours = { server: gatelodge, request: () => request, expected };
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    const pairs = await alternate<{ requestsPerSecond: number }>(
      () => measure(ours, connections, options.pace),
      () => measureFloor(floor, connections, options.pace),
      options.pace.rounds,
    );
    rows.push({
      connections,
      'ours keys/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'floor transactions/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
    });
  }
  record('create', options, { 'Keys made': rows });
}

/** As `measure` does it. */
async function measureFloor(
  floor: Helper,
  atOnce: number,
  pace: Pace,
): Promise<{ requestsPerSecond: number }> {
  await floor.ask<number>({ seconds: pace.leadInSeconds, atOnce });
  const count = await floor.ask<number>({ seconds: pace.roundSeconds, atOnce });
  await sleep(pace.restSeconds * 1000);
  return { requestsPerSecond: count / pace.roundSeconds };
}

async function someOrganization(gatelodge: Gatelodge, issuerId: string): Promise<string> {
  const [row] = await gatelodge.postgres.query<{ id: string }>(
    'select id from gatelodge.organizations where issuer_id = $1 limit 1',
    [issuerId],
  );
  return row!.id;
}
