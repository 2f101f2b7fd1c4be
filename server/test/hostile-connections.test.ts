import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { exchange } from './harness/raw-http.ts';
import { isSoak, scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';

/*
 * Attack: connections instead of requests. Thousands that say nothing, some that send a byte now and then, some that
 * ask and never read, some that were cut in the middle. The server has to go on serving everybody else, and has to
 * get rid of those that begin a request and never end it.
 */

const script = fileURLToPath(new URL('fixtures/hold-connections.ts', import.meta.url));

/** A process that holds connections, so that their number is not bounded by what one process may open. */
class Holder {
  readonly #child: ChildProcess;
  #open = 0;
  #wake: () => void = () => {};

  static async start(url: string, way: string, count: number): Promise<Holder> {
    const holder = new Holder(spawn(process.execPath, [script, new URL(url).port, way, String(count)]));
    await holder.until((open) => open === count);
    return holder;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr!.pipe(process.stderr);
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.#open = Number(/^open (\d+)$/.exec(line)?.[1]);
      this.#wake();
    });
  }

  get open(): number {
    return this.#open;
  }

  async until(isReached: (open: number) => boolean): Promise<void> {
    while (!isReached(this.#open)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.stdin!.end();
    await once(this.#child, 'exit');
  }
}

let server: TestServer;
const holders: Holder[] = [];
const hold = async (way: string, count: number) => {
  const holder = await Holder.start(server.url, way, count);
  holders.push(holder);
  return holder;
};
beforeAll(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  for (const holder of holders.splice(0)) await holder.end();
});
afterAll(() => server.close());

/** What everybody else does meanwhile: nothing of it may fail. */
async function serveOthers(): Promise<void> {
  const { api } = server.operator;
  const work = Array.from({ length: 8 }, async () => {
    for (let round = 0; round < 10; round++) {
      const made = await api.post('/v1/api-keys', {});
      expect(made.status).toBe(201);
      const { body } = await api.post('/v1/keys/verify', { key: made.body.data.secret_plain });
      expect(body.code).toBe('VALID');
      expect((await api.get('/v1/api-keys?limit=1')).status).toBe(200);
    }
  });
  await Promise.all(work);
  expect((await api.as(null).get('/readyz')).status).toBe(200);
}

describe('everybody else is served', () => {
  test.each([
    ['silent', scaled(250, 5_000)],
    ['idle', scaled(250, 5_000)],
    ['slow-headers', scaled(100, 1_000)],
    ['slow-body', scaled(100, 1_000)],
    ['deaf', scaled(20, 200)],
    ['mute', scaled(100, 1_000)],
  ])('while many connections are %s', async (way, count) => {
    const holder = await hold(way, count);
    await serveOthers();
    expect(holder.open).toBeGreaterThan(0);
  });

  test('while all of these are there at once', async () => {
    for (const [way, count] of [
      ['silent', scaled(250, 5_000)],
      ['idle', scaled(250, 5_000)],
      ['slow-headers', scaled(20, 200)],
      ['slow-body', scaled(20, 200)],
      ['deaf', scaled(10, 50)],
    ] as const)
      await hold(way, count);
    await serveOthers();
  });

  test('while headers come that are larger than any may be', async () => {
    const endless = `GET /v1/me HTTP/1.1\r\nHost: localhost\r\n${'X-Huge: '.padEnd(1_000_000, 'x')}`;
    const answers = Promise.all(
      Array.from({ length: scaled(20, 200) }, () => exchange(server.url, endless).catch(() => 'cut')),
    );
    await serveOthers();
    for (const answer of await answers) expect(answer).toMatch(/^(HTTP\/1\.1 431 |cut$)/);
  });
});

describe('a request that does not come to its end', () => {
  test('is given up, its connection with it, and everybody else’s stay', async () => {
    const slow = await hold('slow-headers', scaled(20, 500));
    const mute = await hold('mute', scaled(20, 500));
    const idle = await hold('idle', 20);
    await slow.until((open) => open === 0);
    await mute.until((open) => open === 0);
    expect(idle.open).toBe(20);
    if (!isSoak) return;
    // A body may take three times as long as the headers.
    const body = await hold('slow-body', 500);
    await body.until((open) => open === 0);
  });
});
