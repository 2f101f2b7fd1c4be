import { everyCore, serverCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { type StockedIssuer, stockIssuer } from './issuers.ts';
import { sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { startBetterAuth } from './peers.ts';
import { Helper } from './processes.ts';
import {
  authorizeEndpoint,
  type Endpoint,
  inTurn,
  postJson,
  sampleAnswer,
  verifyEndpoint,
} from './requests.ts';
import { type Row, record } from './results.ts';
import { type Contender, compare } from './rounds.ts';
import { round2 } from './statistics.ts';

const connectionCounts = [32, 256];
const hotKeys = 10_000;
const organizations = 1_000;

/** Verification of keys in memory, against the floor and against better-auth. */
export async function benchVerify(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const gatelodge = cleanup.use(await Gatelodge.start());
  const issuer = await stockIssuer(gatelodge, { keys: options.keys, hot: hotKeys, organizations });
  const endpoints = [verifyEndpoint(gatelodge), authorizeEndpoint(issuer.id)];
  const floorRows: Row[] = [];
  for (const endpoint of endpoints) {
    await sendEach(gatelodge.port, issuer.secrets.map(endpoint.request), endpoint.valid);
    floorRows.push(...(await againstFloor(gatelodge, issuer, endpoint, options)));
  }
  const peerRows = await againstBetterAuth(gatelodge, issuer, options, cleanup);
  record('verify', options, { 'Against the floor': floorRows, 'Against better-auth': peerRows });
}

async function againstFloor(
  gatelodge: Gatelodge,
  issuer: StockedIssuer,
  endpoint: Endpoint,
  { pace }: BenchOptions,
): Promise<Row[]> {
  // Whatever our Postgres does for a verification is to be paid for on our core.
  await gatelodge.postgres.useCores(serverCore);
  const requests = issuer.secrets.map(endpoint.request);
  const sample = await sampleAnswer(gatelodge.port, requests[0]!);
  await using floor = await Helper.start('./floor-server.ts', [JSON.stringify(sample.headers), sample.body]);
  const ours: Contender = { server: gatelodge, request: inTurn(requests), expected: endpoint.valid };
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    const pairs = await compare(ours, { ...ours, server: floor }, connections, pace);
    rows.push({
      endpoint: endpoint.name,
      connections,
      'ours req/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'floor req/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
      'ours p99 ms': round2(pairs.ours((round) => round.p99Ms)),
      'floor p99 ms': round2(pairs.other((round) => round.p99Ms)),
      'p99 ratio': round2(pairs.ratio((round) => round.p99Ms)),
      'ours CPU µs': round2(pairs.ours((round) => round.cpuUs)),
      'floor CPU µs': round2(pairs.other((round) => round.cpuUs)),
    });
  }
  return rows;
}

async function againstBetterAuth(
  gatelodge: Gatelodge,
  issuer: StockedIssuer,
  options: BenchOptions,
  cleanup: AsyncDisposableStack,
): Promise<Row[]> {
  const peer = await startBetterAuth(gatelodge.postgres, { keys: options.keys, hot: hotKeys });
  cleanup.use(peer.server);
  // All of its answers wait for Postgres, which it shall not have to share a core with.
  await gatelodge.postgres.useCores(everyCore);
  const endpoint = verifyEndpoint(gatelodge);
  const ours: Contender = {
    server: gatelodge,
    request: inTurn(issuer.secrets.map(endpoint.request)),
    expected: endpoint.valid,
  };
  const theirs: Contender = {
    server: peer.server,
    request: inTurn(peer.secrets.map((key) => postJson('/', { key }))),
    expected: endpoint.valid,
  };
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    const pairs = await compare(ours, theirs, connections, options.pace);
    rows.push({
      connections,
      'ours req/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'better-auth req/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
    });
  }
  return rows;
}
