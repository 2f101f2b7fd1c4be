import { serverCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { addKeys, stockIssuer } from './issuers.ts';
import { sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { plot } from './plot.ts';
import { Helper } from './processes.ts';
import { inTurn, sampleAnswer, verifyEndpoint } from './requests.ts';
import { type Row, record, writeResult } from './results.ts';
import { compare } from './rounds.ts';
import { round2 } from './statistics.ts';

const connections = 32;
const hotKeys = 1_000;
const tenantCounts = [1, 100, 1_000];

/** What a verification costs, and what the floor's request cost beside it. */
interface Cost {
  stored: number;
  tenants: number;
  ours: number;
  floor: number;
  row: Row;
}

/** `POST /v1/keys/verify` with the same thousand hot keys, while more and more is stored and for more and more tenants. */
export async function benchFlat(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const gatelodge = cleanup.use(await Gatelodge.start());
  const most = Math.max(...tenantCounts);
  const issuer = await stockIssuer(gatelodge, { keys: hotKeys, hot: hotKeys, organizations: most });
  let stored = hotKeys;
  const byKeys = [await costOf(gatelodge, issuer.secrets, stored, most, options)];
  while (stored < options.keys) {
    const next = Math.min(stored * 10, options.keys);
    await addKeys(gatelodge, issuer.id, next - stored, 0);
    stored = next;
    byKeys.push(await costOf(gatelodge, issuer.secrets, stored, most, options));
  }
  const byTenants: Cost[] = [];
  for (const tenants of tenantCounts.slice(0, -1)) {
    const { secrets } = await stockIssuer(gatelodge, { keys: hotKeys, hot: hotKeys, organizations: tenants });
    stored += hotKeys;
    byTenants.push(await costOf(gatelodge, secrets, stored, tenants, options));
  }
  byTenants.push(await costOf(gatelodge, issuer.secrets, stored, most, options));

  writeResult('flat.svg', draw(byKeys, byTenants), options);
  record('flat', options, {
    'More and more keys stored': byKeys.map(({ row }) => row),
    'More and more tenants': byTenants.map(({ row }) => row),
  });
}

/** Against the floor, so that a machine that is busier for some minutes does not look like growth. */
async function costOf(
  gatelodge: Gatelodge,
  secrets: string[],
  stored: number,
  tenants: number,
  { pace }: BenchOptions,
): Promise<Cost> {
  await gatelodge.postgres.useCores(serverCore);
  const endpoint = verifyEndpoint(gatelodge);
  const requests = secrets.map(endpoint.request);
  await sendEach(gatelodge.port, requests, endpoint.valid);
  const { headers, body } = await sampleAnswer(gatelodge.port, requests[0]!);
  await using floor = await Helper.start('./floor-server.ts', [JSON.stringify(headers), body]);
  const ours = { server: gatelodge, request: inTurn(requests), expected: endpoint.valid };
  const pairs = await compare(ours, { ...ours, server: floor }, connections, pace);
  const row = {
    'keys stored': stored,
    tenants,
    'ours req/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
    'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
    'ours p50 ms': round2(pairs.ours((round) => round.p50Ms)),
    'ours p99 ms': round2(pairs.ours((round) => round.p99Ms)),
    'ours CPU µs': round2(pairs.ours((round) => round.cpuUs)),
    'floor CPU µs': round2(pairs.other((round) => round.cpuUs)),
  };
  return { stored, tenants, ours: row['ours CPU µs'], floor: row['floor CPU µs'], row };
}

function draw(byKeys: readonly Cost[], byTenants: readonly Cost[]): string {
  const lines = (costs: readonly Cost[], at: (cost: Cost) => number) => [
    { name: 'verification', points: costs.map((cost) => ({ x: at(cost), y: cost.ours })) },
    { name: 'bare node:http server', points: costs.map((cost) => ({ x: at(cost), y: cost.floor })) },
  ];
  return plot({
    title: 'Processor time of a verification',
    yLabel: 'µs a request',
    panels: [
      { xLabel: 'keys stored', lines: lines(byKeys, ({ stored }) => stored) },
      { xLabel: 'tenants', lines: lines(byTenants, ({ tenants }) => tenants) },
    ],
  });
}
