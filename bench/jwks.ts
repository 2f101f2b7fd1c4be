import { serverCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { createIssuers } from './issuers.ts';
import { type RoundResult, sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { Helper } from './processes.ts';
import { getPublic, inTurn, sampleAnswer } from './requests.ts';
import { type Row, record } from './results.ts';
import { type Contender, compare } from './rounds.ts';
import { round2 } from './statistics.ts';

/** Of so many issuers the server holds the keys; the rest it reads, for so many strangers at a time as it lets wait. */
const heldIssuers = 4_096;
const connectionCounts = (inRotation: number) => (inRotation > heldIssuers ? [32] : [32, 256]);
const coldRequests = 1_000;

/** What is published for anybody, and what every answer of it has. */
const documents = [
  { name: 'GET /{issuer}/jwks.json', path: '/jwks.json', text: '"kty":"EC"' },
  {
    name: 'GET /{issuer}/.well-known/openid-configuration',
    path: '/.well-known/openid-configuration',
    text: '"jwks_uri"',
  },
] as const;

type Document = (typeof documents)[number];

/** Key sets and discovery of many issuers, against the floor; what the first look at an issuer takes; and memory. */
export async function benchJwks(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const issuers = options.isQuick ? 500 : 10_000;
  const gatelodge = cleanup.use(await Gatelodge.start());
  const ids = await createIssuers(gatelodge, issuers);
  await gatelodge.postgres.useCores(serverCore);
  const coldRows = await coldOnes(gatelodge, ids);
  const floorRows: Row[] = [];
  for (const document of documents)
    for (const inRotation of [1, 1_000, issuers].filter((count) => count <= issuers))
      floorRows.push(...(await againstFloor(gatelodge, document, ids.slice(0, inRotation), options)));
  record('jwks', options, {
    'A cold issuer, one request at a time': coldRows,
    'Against the floor': floorRows,
  });
}

/** Each document of issuers that nobody has asked about before. */
async function coldOnes(gatelodge: Gatelodge, ids: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  const count = Math.floor(Math.min(coldRequests, ids.length / documents.length));
  for (const [index, { name, path, text }] of documents.entries()) {
    const asked = ids.slice(index * count, (index + 1) * count);
    const measure = (): Promise<RoundResult> =>
      sendEach(
        gatelodge.port,
        asked.map((id) => getPublic(`/${id}${path}`)),
        { status: 200, text },
        { connections: 1 },
      );
    const cold = await measure();
    const warm = await measure();
    rows.push({
      document: name,
      'cold p50 ms': round2(cold.p50Ms),
      'cold p99 ms': round2(cold.p99Ms),
      'warm p50 ms': round2(warm.p50Ms),
    });
  }
  return rows;
}

async function againstFloor(
  gatelodge: Gatelodge,
  { name, path, text }: Document,
  ids: readonly string[],
  { pace }: BenchOptions,
): Promise<Row[]> {
  const requests = ids.map((id) => getPublic(`/${id}${path}`));
  const expected = { status: 200, text };
  // All of them once, so that what is measured is the rotation and not the first look.
  await sendEach(gatelodge.port, requests, expected);
  const sample = await sampleAnswer(gatelodge.port, requests[0]!);
  const floorArguments = [JSON.stringify(sample.headers), sample.body, 'public'];
  await using floor = await Helper.start('./floor-server.ts', floorArguments);
  const ours: Contender = { server: gatelodge, request: inTurn(requests), expected };
  const rows: Row[] = [];
  for (const connections of connectionCounts(ids.length)) {
    const pairs = await compare(ours, { ...ours, server: floor }, connections, pace);
    rows.push({
      document: name,
      issuers: ids.length,
      connections,
      'ours req/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'floor req/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
      'p99 ratio': round2(pairs.ratio((round) => round.p99Ms)),
      'ours CPU µs': round2(pairs.ours((round) => round.cpuUs)),
      'floor CPU µs': round2(pairs.other((round) => round.cpuUs)),
      'resident MB': Math.round((await gatelodge.metric('process_resident_memory_bytes')) / 2 ** 20),
    });
  }
  return rows;
}
