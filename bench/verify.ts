import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { type RoundResult, runRound } from './load.ts';
import { type BenchServer, startFloor, startGatelodge } from './servers.ts';

const rounds = 7;
const roundSeconds = 2;
const connectionCounts = [32, 256];
const hotKeys = 1000;

/**
 * Cached verification against the floor: alternated rounds, the ratio of each pair, and the median of the ratios. The
 * floor parses the same body and answers the same bytes, headers included.
 */
export async function benchVerify(): Promise<void> {
  const gatelodge = await startGatelodge();
  try {
    const caller = gatelodge.bootstrap.api_key;
    const authorization = `Basic ${Buffer.from(`${caller.id}:${caller.secret}`).toString('base64')}`;
    const secrets = await createKeys(gatelodge.port, gatelodge.bootstrap.demo.issuer_id, authorization);
    const requests = secrets.map((secret) => rawRequest(authorization, secret));
    const sample = await sampleAnswer(gatelodge.port, authorization, secrets[0]!);
    const floor = await startFloor(sample.headers, sample.body);
    try {
      const table: Record<string, unknown>[] = [];
      for (const connections of connectionCounts)
        table.push(await compare(connections, gatelodge, floor, requests));
      console.table(table);
      await record(table);
    } finally {
      await floor.stop();
    }
  } finally {
    await gatelodge.stop();
  }
}

interface Measured extends RoundResult {
  /** Processor time that the server used for one request. */
  cpuUs: number;
}

async function compare(connections: number, ours: BenchServer, floor: BenchServer, requests: Buffer[]) {
  const pairs: { ours: Measured; floor: Measured }[] = [];
  const round = async (server: BenchServer, seconds: number): Promise<Measured> => {
    const before = await server.cpuSeconds();
    const result = await runRound({
      port: server.port,
      connections,
      seconds,
      request: (index, count) => requests[(index * 31 + count) % requests.length]!,
      expects: '"valid":true',
    });
    const cpuSeconds = (await server.cpuSeconds()) - before;
    return { ...result, cpuUs: (cpuSeconds * 1e6) / (result.requestsPerSecond * seconds) };
  };
  await round(ours, 2);
  await round(floor, 2);
  for (let index = 0; index < rounds; index++) {
    // Which one goes first changes from round to round, so that a drift of the machine helps neither.
    const first = index % 2 === 0 ? ours : floor;
    const a = await round(first, roundSeconds);
    const b = await round(first === ours ? floor : ours, roundSeconds);
    pairs.push(first === ours ? { ours: a, floor: b } : { ours: b, floor: a });
  }
  const wrong = pairs.reduce((sum, pair) => sum + pair.ours.wrong + pair.floor.wrong, 0);
  if (wrong > 0) throw new Error(`${wrong} answers were wrong, so the figures mean nothing`);
  const medianOf = (pick: (pair: { ours: Measured; floor: Measured }) => number) => median(pairs.map(pick));
  return {
    connections,
    'ours req/s': Math.round(medianOf((pair) => pair.ours.requestsPerSecond)),
    'floor req/s': Math.round(medianOf((pair) => pair.floor.requestsPerSecond)),
    'throughput ratio': round2(
      medianOf((pair) => pair.ours.requestsPerSecond / pair.floor.requestsPerSecond),
    ),
    'ours p99 ms': round2(medianOf((pair) => pair.ours.p99Ms)),
    'floor p99 ms': round2(medianOf((pair) => pair.floor.p99Ms)),
    'p99 ratio': round2(medianOf((pair) => pair.ours.p99Ms / pair.floor.p99Ms)),
    'ours CPU µs': round2(medianOf((pair) => pair.ours.cpuUs)),
    'floor CPU µs': round2(medianOf((pair) => pair.floor.cpuUs)),
    'CPU ratio': round2(medianOf((pair) => pair.floor.cpuUs / pair.ours.cpuUs)),
  };
}

async function createKeys(port: number, issuerId: string, authorization: string): Promise<string[]> {
  const secrets: string[] = [];
  for (let index = 0; index < hotKeys; index++) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/issuers/${issuerId}/api-keys`, {
      method: 'POST',
      headers: { Authorization: authorization, 'Content-Type': 'application/json' },
      // Names of one length, so that every answer has as many bytes as the floor's.
      body: JSON.stringify({
        name: `key ${String(index).padStart(5, '0')}`,
        restrictions: { scopes: ['invoices:read'] },
      }),
    });
    const { data } = (await response.json()) as { data: { secret_plain: string } };
    secrets.push(data.secret_plain);
  }
  return secrets;
}

function rawRequest(authorization: string, secret: string): Buffer {
  const body = JSON.stringify({ key: secret, scopes: ['invoices:read'] });
  return Buffer.from(
    `POST /v1/keys/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

/** An answer of ours, for the floor to give: the same headers but those that node:http adds by itself. */
async function sampleAnswer(port: number, authorization: string, secret: string) {
  const response = await fetch(`http://127.0.0.1:${port}/v1/keys/verify`, {
    method: 'POST',
    headers: { Authorization: authorization, 'Content-Type': 'application/json' },
    body: JSON.stringify({ key: secret, scopes: ['invoices:read'] }),
  });
  const own = new Set(['content-length', 'connection', 'date', 'keep-alive']);
  const headers = [...response.headers].filter(([name]) => !own.has(name)).flat();
  return { headers, body: await response.text() };
}

async function record(table: Record<string, unknown>[]): Promise<void> {
  const results = new URL('./results/', import.meta.url);
  await mkdir(results, { recursive: true });
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`;
  const content = {
    benchmark: 'verify',
    at: new Date().toISOString(),
    machine,
    node: process.version,
    rounds,
    roundSeconds,
    table,
  };
  await writeFile(new URL('verify.json', results), `${JSON.stringify(content, null, 2)}\n`);
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
