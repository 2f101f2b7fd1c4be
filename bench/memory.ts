import { GarbageCollector } from './garbage-collector.ts';
import { Gatelodge } from './gatelodge.ts';
import { stockIssuer } from './issuers.ts';
import { sendEach } from './load.ts';
import type { BenchOptions } from './options.ts';
import { verifyEndpoint } from './requests.ts';
import { type Row, record } from './results.ts';
import { round2 } from './statistics.ts';

const organizations = 1_000;

/** What a key takes in memory, and that the cache bounds what all of them take. */
export async function benchMemory(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void> {
  record('memory', options, {
    'Bytes of a key in memory': await bytesOfKey(options, cleanup),
    'Every stored key verified once': await boundOfCache(options, cleanup),
  });
}

/** The memory of a server that holds none, half and all of the keys, after a collection each time. */
async function bytesOfKey({ isQuick }: BenchOptions, cleanup: AsyncDisposableStack): Promise<Row[]> {
  const keys = isQuick ? 20_000 : 200_000;
  // Stopped before the next one starts; `cleanup` has it in case of an interruption.
  await using node = cleanup.use(await MeasuredNode.start(keys * 2));
  const { secrets } = await stockIssuer(node.gatelodge, { keys, hot: keys, organizations });
  // A few first, for what the server makes once and for the records that keys share.
  await node.verify(secrets.slice(0, organizations));
  const none = await node.look();
  await node.verify(secrets.slice(0, keys / 2));
  const half = await node.look();
  await node.verify(secrets);
  const all = await node.look();
  return [none, half, all].map((look, index) => ({
    ...asRow(look),
    'bytes a key since the row above': index === 0 ? 0 : bytesBetween([none, half, all][index - 1]!, look),
  }));
}

/** The memory of a server whose cache is a tenth of what is stored, as more and more of it is verified. */
async function boundOfCache({ keys }: BenchOptions, cleanup: AsyncDisposableStack): Promise<Row[]> {
  await using node = cleanup.use(await MeasuredNode.start(keys / 10));
  const { secrets } = await stockIssuer(node.gatelodge, { keys, hot: keys, organizations });
  const rows: Row[] = [];
  const step = Math.ceil(keys / 10);
  for (let verified = 0; verified <= keys; verified += step) {
    if (verified > 0) await node.verify(secrets.slice(verified - step, verified));
    rows.push({ verified, ...asRow(await node.look()) });
  }
  return rows;
}

interface Look {
  cachedKeys: number;
  heapBytes: number;
  externalBytes: number;
  residentBytes: number;
}

/** A server of which all garbage can be collected before its own figures are read. */
class MeasuredNode implements AsyncDisposable {
  readonly gatelodge: Gatelodge;
  readonly #collector: GarbageCollector;

  static async start(cacheKeys: number): Promise<MeasuredNode> {
    const collector = await GarbageCollector.reserve();
    const env = { ...collector.env, GATELODGE_CACHE_KEYS: String(cacheKeys) };
    return new MeasuredNode(await Gatelodge.start(env), collector);
  }

  private constructor(gatelodge: Gatelodge, collector: GarbageCollector) {
    this.gatelodge = gatelodge;
    this.#collector = collector;
  }

  async verify(secrets: readonly string[]): Promise<void> {
    const endpoint = verifyEndpoint(this.gatelodge);
    await sendEach(this.gatelodge.port, secrets.map(endpoint.request), endpoint.valid);
  }

  async look(): Promise<Look> {
    await this.#collector.collect(this.gatelodge.pid);
    return {
      cachedKeys: await this.gatelodge.metric('gatelodge_cached_keys'),
      heapBytes: await this.gatelodge.metric('nodejs_heap_size_used_bytes'),
      externalBytes: await this.gatelodge.metric('nodejs_external_memory_bytes'),
      residentBytes: await this.gatelodge.metric('process_resident_memory_bytes'),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#collector.close();
    return this.gatelodge[Symbol.asyncDispose]();
  }
}

function bytesBetween(before: Look, after: Look): number {
  const bytes = after.heapBytes + after.externalBytes - before.heapBytes - before.externalBytes;
  return Math.round(bytes / (after.cachedKeys - before.cachedKeys));
}

function asRow({ cachedKeys, heapBytes, externalBytes, residentBytes }: Look): Row {
  const megabytes = (bytes: number) => round2(bytes / 1e6);
  return {
    'keys in memory': cachedKeys,
    'heap MB': megabytes(heapBytes),
    'external MB': megabytes(externalBytes),
    'resident MB': megabytes(residentBytes),
  };
}
