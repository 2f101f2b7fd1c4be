import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverCore } from './cores.ts';
import { Gatelodge } from './gatelodge.ts';
import { stockIssuer } from './issuers.ts';
import { runRound, sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { authorizeEndpoint, type Endpoint, inTurn, verifyEndpoint } from './requests.ts';
import { type Row, record } from './results.ts';
import { compare } from './rounds.ts';
import { round2 } from './statistics.ts';

const connectionCounts = [32, 256];
const hotKeys = 10_000;
/** Keys that are verified for the first time while statements are counted, to see that these are. */
const controls = 1_000;
/** Postgres adds what an idle session has done to its statistics within ten seconds. */
const statisticsSettleSeconds = 12;

/** Floods of keys that nobody ever made, against traffic of valid keys on the same server. */
export async function benchForged(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const gatelodge = cleanup.use(await Gatelodge.start());
  const issuer = await stockIssuer(gatelodge, {
    keys: options.keys,
    hot: hotKeys + controls,
    organizations: 1_000,
  });
  await gatelodge.postgres.useCores(serverCore);
  const hot = issuer.secrets.slice(0, hotKeys);
  const floods = { 'wrong check part': hot.map(forge), 'random text': hot.map(randomText) };
  const rows: Row[] = [];
  for (const endpoint of [verifyEndpoint(gatelodge), authorizeEndpoint(issuer.id)]) {
    await sendEach(gatelodge.port, hot.map(endpoint.request), endpoint.valid);
    for (const [flood, made] of Object.entries(floods)) {
      for (const connections of connectionCounts)
        rows.push(await compareFlood(gatelodge, endpoint, { flood, made, hot }, connections, options));
    }
  }
  const statements = await countStatements(gatelodge, floods, issuer.secrets.slice(hotKeys), options);
  record('forged', options, { 'Throughput of a flood': rows, 'SQL of a flood': statements });
}

async function compareFlood(
  gatelodge: Gatelodge,
  endpoint: Endpoint,
  { flood, made, hot }: { flood: string; made: string[]; hot: string[] },
  connections: number,
  { pace }: BenchOptions,
): Promise<Row> {
  const of = (secrets: string[]) => ({ server: gatelodge, request: inTurn(secrets.map(endpoint.request)) });
  const pairs = await compare(
    { ...of(made), expected: endpoint.unknown },
    { ...of(hot), expected: endpoint.valid },
    connections,
    pace,
  );
  return {
    endpoint: endpoint.name,
    flood,
    connections,
    'flood req/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
    'valid req/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
    'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
    'flood CPU µs': round2(pairs.ours((round) => round.cpuUs)),
    'valid CPU µs': round2(pairs.other((round) => round.cpuUs)),
  };
}

/** Transactions of the whole database while nothing comes, while floods do, and while new keys do. */
async function countStatements(
  gatelodge: Gatelodge,
  floods: Record<string, string[]>,
  controlSecrets: string[],
  options: BenchOptions,
): Promise<Row[]> {
  const endpoint = verifyEndpoint(gatelodge);
  const seconds = options.isQuick ? 2 : 10;
  const counted = async (traffic: string, work: () => Promise<number>): Promise<Row> => {
    const before = await gatelodge.postgres.transactions();
    const startedAt = performance.now();
    const requests = await work();
    // Every window is as long, so that what the server does anyway is the same in each.
    await sleep((seconds + statisticsSettleSeconds) * 1000 - (performance.now() - startedAt));
    return { traffic, requests, transactions: (await gatelodge.postgres.transactions()) - before };
  };
  const rows = [
    await counted('none', () => Promise.resolve(0)),
    await counted('keys never verified before', async () => {
      const requests = controlSecrets.map(endpoint.request);
      return (await sendEach(gatelodge.port, requests, endpoint.valid)).requests;
    }),
  ];
  for (const [flood, made] of Object.entries(floods)) {
    const load = {
      port: gatelodge.port,
      connections: 32,
      seconds,
      request: inTurn(made.map(endpoint.request)),
    };
    rows.push(
      await counted(flood, async () => (await runRound({ ...load, expected: endpoint.unknown })).requests),
    );
  }
  const idle = rows[0]!.transactions as number;
  return rows.map((row) => ({ ...row, 'more than none': (row.transactions as number) - idle }));
}

/** The form and the generations of a real secret, of which the random part and the check part are made up. */
function forge(secret: string): string {
  const body = /[0-9A-Za-z]{44}$/.exec(secret)![0];
  const prefix = secret.slice(0, -body.length);
  return `${prefix}${letters(32)}${body.slice(32, 34)}${letters(10)}`;
}

function randomText(): string {
  return randomBytes(8 + Math.floor(Math.random() * 40)).toString('base64url');
}

function letters(length: number): string {
  return randomBytes(length * 2)
    .toString('base64')
    .replaceAll(/[+/=]/g, '')
    .slice(0, length);
}
