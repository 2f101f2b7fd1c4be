import { serverCore } from './cores.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { Gatelodge } from './gatelodge.ts';
import { createIssuers } from './issuers.ts';
import { type Expected, sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { Helper } from './processes.ts';
import { getPublic, inTurn } from './requests.ts';
import { type Row, record } from './results.ts';
import { compare } from './rounds.ts';
import { round2 } from './statistics.ts';

const connectionCounts = [1, 32];
const clientsAtOnce = 8;
const scope = 'reports:read';
const token: Expected = { status: 200, text: '"access_token":"ey' };

/** What a client of an issuer sends to get a token of its own. */
interface TokenClient {
  issuerId: string;
  id: string;
  secret: string;
}

/**
 * The token endpoint of 1,000 issuers in rotation against the library by itself with one issuer; and what 10,000 issuers
 * take that nobody has asked before: time for the first, memory for all of them.
 */
export async function benchOidc(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  const issuers = options.isQuick ? 200 : 10_000;
  const inRotation = options.isQuick ? 100 : 1_000;
  const collector = await GarbageCollector.reserve();
  const gatelodge = cleanup.use(await Gatelodge.start(collector.env));
  // Else the server waits for it when it is to end.
  cleanup.defer(() => collector.close());
  const ids = await createIssuers(gatelodge, issuers);
  const clients = await createClients(gatelodge, ids.slice(0, inRotation));
  await gatelodge.postgres.useCores(serverCore);
  const cold = await coldIssuers(gatelodge, ids, collector);
  const tokens: Row[] = [];
  for (const count of [1, inRotation])
    tokens.push(...(await againstFloor(gatelodge, clients.slice(0, count), options)));
  record('oidc', options, {
    'Issuers that nobody has asked before, one request at a time': cold,
    'Token endpoint against the library by itself': tokens,
  });
}

/** A machine client of each issuer. */
async function createClients(gatelodge: Gatelodge, issuerIds: readonly string[]): Promise<TokenClient[]> {
  const clients: TokenClient[] = [];
  const left = [...issuerIds];
  const work = async () => {
    for (let issuerId = left.pop(); issuerId !== undefined; issuerId = left.pop()) {
      const made = await gatelodge.create<{ id: string; secret: string }>(`/v1/issuers/${issuerId}/clients`, {
        name: 'Bench',
        type: 'first_party',
        settings: {
          scopes: [scope],
          openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [] },
        },
      });
      clients.push({ issuerId, id: made.id, secret: made.secret });
    }
  };
  await Promise.all(Array.from({ length: clientsAtOnce }, work));
  await gatelodge.postgres.query('vacuum analyze gatelodge.clients, gatelodge.client_secrets');
  return clients;
}

/** Fewer than may begin a sign-in within a minute from one address. */
const issuersOfStep = 500;

/**
 * First their discovery, then their runtime, in steps, with the server's memory, its garbage collected, after every step.
 * Each comes from an address of its own, as visitors do.
 */
async function coldIssuers(
  gatelodge: Gatelodge,
  ids: readonly string[],
  collector: GarbageCollector,
): Promise<Row[]> {
  const parts = [
    {
      what: 'discovery',
      path: '/.well-known/openid-configuration',
      expected: { status: 200, text: '"token_endpoint"' },
    },
    // Refused by the library, which the runtime makes for the issuer to find that out.
    { what: 'authorize', path: '/authorize', expected: { status: 400, text: 'invalid_request' } },
  ];
  const rows: Row[] = [];
  const step = Math.min(issuersOfStep, Math.ceil(ids.length / 10));
  for (const { what, path, expected } of parts)
    for (let asked = 0; asked < ids.length; asked += step) {
      const requests = ids.slice(asked, asked + step).map((id) => getPublic(`/${id}${path}`));
      const from = `127.0.1.${1 + Math.floor(asked / step)}`;
      const { p50Ms, p99Ms } = await sendEach(gatelodge.port, requests, expected, { connections: 1, from });
      await collector.collect(gatelodge.pid);
      rows.push({
        what,
        issuers: asked + requests.length,
        'p50 ms': round2(p50Ms),
        'p99 ms': round2(p99Ms),
        'heap MB': Math.round((await gatelodge.metric('nodejs_heap_size_used_bytes')) / 2 ** 20),
        'resident MB': Math.round((await gatelodge.metric('process_resident_memory_bytes')) / 2 ** 20),
      });
    }
  return rows;
}

async function againstFloor(
  gatelodge: Gatelodge,
  clients: readonly TokenClient[],
  { pace }: BenchOptions,
): Promise<Row[]> {
  const requests = clients.map((client) => tokenRequest(`/${client.issuerId}/token`, client));
  // All of them once, so that what is measured is the rotation and not the first look.
  await sendEach(gatelodge.port, requests, token);
  const [first] = clients;
  await using floor = await Helper.start('./oidc-floor.ts', [first!.id, first!.secret, scope]);
  const bare = tokenRequest('/token', first!);
  const ours = { server: gatelodge, request: inTurn(requests), expected: token };
  const rows: Row[] = [];
  for (const connections of connectionCounts) {
    const other = { server: floor, request: () => bare, expected: token };
    const pairs = await compare(ours, other, connections, pace);
    rows.push({
      issuers: clients.length,
      connections,
      'ours tokens/s': Math.round(pairs.ours((round) => round.requestsPerSecond)),
      'library tokens/s': Math.round(pairs.other((round) => round.requestsPerSecond)),
      'throughput ratio': round2(pairs.ratio((round) => round.requestsPerSecond)),
      'ours p99 ms': round2(pairs.ours((round) => round.p99Ms)),
      'library p99 ms': round2(pairs.other((round) => round.p99Ms)),
      'ours CPU µs': round2(pairs.ours((round) => round.cpuUs)),
      'library CPU µs': round2(pairs.other((round) => round.cpuUs)),
    });
  }
  return rows;
}

/** RFC 6749 §4.4.2, the client by Basic. */
function tokenRequest(path: string, { id, secret }: Pick<TokenClient, 'id' | 'secret'>): Buffer {
  const body = `grant_type=client_credentials&scope=${encodeURIComponent(scope)}`;
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}
