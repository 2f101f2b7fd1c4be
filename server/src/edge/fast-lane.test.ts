import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import type { EdgeAnswer } from './answer.ts';
import type { EdgeRequest } from './edge-request.ts';
import { openFastLane } from './fast-lane.ts';

const verifyHead = (body: string, ...lines: string[]) =>
  `${['POST /v1/keys/verify HTTP/1.1', 'Host: localhost', ...lines, `Content-Length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`;

/** A connection on which a test writes bytes as it likes, and reads whole answers. */
class Wire {
  readonly socket: Socket;
  #text = '';
  #wake: () => void = () => {};
  isClosed = false;

  static async open(port: number): Promise<Wire> {
    const wire = new Wire(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
    await new Promise<void>((resolve) => wire.socket.once('connect', resolve));
    return wire;
  }

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.isClosed = true;
        this.#wake();
      });
  }

  async write(bytes: string): Promise<void> {
    await new Promise<void>((resolve) => this.socket.write(bytes, 'latin1', () => resolve()));
  }

  /** The next answer: its head without the fields that differ from one to the next, and its body. */
  async answer(): Promise<{ head: string[]; body: string }> {
    for (;;) {
      const headEnd = this.#text.indexOf('\r\n\r\n');
      const head = this.#text.slice(0, headEnd);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
      if (headEnd !== -1 && this.#text.length >= headEnd + 4 + length) {
        const body = this.#text.slice(headEnd + 4, headEnd + 4 + length);
        this.#text = this.#text.slice(headEnd + 4 + length);
        const fields = head.split('\r\n').filter((line) => !/^(date|keep-alive|connection):/i.test(line));
        return { head: fields.sort(), body };
      }
      if (this.isClosed) throw new Error(`closed with ${JSON.stringify(this.#text)}`);
      await this.#woken();
    }
  }

  /** What has come and was not read as an answer, once the server has closed its side. */
  async closed(): Promise<string> {
    while (!this.isClosed) await this.#woken();
    return this.#text;
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

describe('a connection', () => {
  let server: Server;
  let isStopping = false;
  let answered: { url: string; body: string }[] = [];
  let byNode: string[] = [];
  let failures: string[] = [];
  let accepted: Socket[] = [];
  let answerWith: (request: EdgeRequest, headers: string[]) => Promise<EdgeAnswer>;
  const open = () => Wire.open((server.address() as AddressInfo).port);

  beforeAll(async () => {
    server = createServer((request: IncomingMessage, response: ServerResponse) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
      request.on('end', () => {
        byNode.push(`${request.method} ${request.url} ${body}`);
        response.end('node');
      });
    });
    openFastLane(server, {
      answer: (request, headers) => answerWith(request, headers),
      isStopping: () => isStopping,
      keepAliveMs: 65_000,
      onError: (error) => failures.push(String(error)),
    });
    server.on('connection', (socket: Socket) => accepted.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(() => {
    isStopping = false;
    [answered, byNode, failures, accepted] = [[], [], [], []];
    answerWith = async ({ url, wholeBody }) => {
      answered.push({ url: url ?? '', body: wholeBody?.toString('latin1') ?? 'none' });
      return { status: 200, body: 'lane' };
    };
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test('goes on in the fast lane for one quick request after the other', async () => {
    const wire = await open();
    for (const body of ['{}', '{"a":1}', '{}']) {
      await wire.write(verifyHead(body));
      expect((await wire.answer()).body).toBe('lane');
    }
    await wire.write('GET /v1/authorize/i_x?scope=a:b HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await wire.answer();
    expect(answered).toEqual([
      ...['{}', '{"a":1}', '{}'].map((body) => ({ url: '/v1/keys/verify', body })),
      { url: '/v1/authorize/i_x?scope=a:b', body: '' },
    ]);
    expect(byNode).toEqual([]);
    wire.socket.destroy();
  });

  test('is node:http’s from its first other request on, and loses nothing by it', async () => {
    const wire = await open();
    await wire.write(verifyHead('{}'));
    expect((await wire.answer()).body).toBe('lane');
    await wire.write('GET /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect((await wire.answer()).body).toBe('node');
    await wire.write(verifyHead('{}'));
    expect((await wire.answer()).body).toBe('node');
    expect(byNode).toEqual(['GET /v1/me ', 'POST /v1/keys/verify {}']);
    wire.socket.destroy();
  });

  test('answers what was written ahead in its order, whoever answers it', async () => {
    let finish: () => void = () => {};
    answerWith = async () => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { status: 200, body: 'lane' };
    };
    const wire = await open();
    await wire.write(verifyHead('{}'));
    await expect.poll(() => finish.name).toBe('');
    await wire.write(verifyHead('[1]') + verifyHead('[2]'));
    await wire.write('GET /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n');
    finish();
    const bodies = [];
    for (let index = 0; index < 4; index++) bodies.push((await wire.answer()).body);
    expect(bodies).toEqual(['lane', 'node', 'node', 'node']);
    expect(byNode).toEqual(['POST /v1/keys/verify [1]', 'POST /v1/keys/verify [2]', 'GET /v1/me ']);
    wire.socket.destroy();
  });

  test('may bring a request in pieces', async () => {
    const request = verifyHead('{"key":"x"}', 'X-A: b');
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(request.length), { maxLength: 4 }), async (cuts) => {
        const wire = await open();
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), request.length]) {
          if (cut > from) await wire.write(request.slice(from, cut));
          from = cut;
        }
        expect(['lane', 'node']).toContain((await wire.answer()).body);
        wire.socket.destroy();
      }),
      { numRuns: scaled(50, 1_000) },
    );
    const bodies = [...answered.map(({ body }) => body), ...byNode.map((text) => text.split(' ')[2])];
    expect(new Set(bodies)).toEqual(new Set(['{"key":"x"}']));
  });

  test('that is half closed still gets its answer', async () => {
    const wire = await open();
    wire.socket.end(verifyHead('{}'), 'latin1');
    expect((await wire.answer()).body).toBe('lane');
    await wire.closed();
  });

  test.each(['POST /v1/ke', verifyHead('{}').slice(0, -1)])(
    'that is half closed after %j is told so, as by node:http',
    async (begin) => {
      for (const before of ['', verifyHead('{}')]) {
        const wire = await open();
        if (before !== '') {
          await wire.write(before);
          await wire.answer();
        }
        await wire.write(begin);
        wire.socket.end();
        expect(await wire.closed()).toMatch(/^HTTP\/1\.1 400 /);
      }
      expect(byNode).toEqual([]);
    },
  );

  test('carries out nothing after the last answer', async () => {
    // Attack: a request that is charged and put on record though its answer can't be written any more.
    isStopping = true;
    const wire = await open();
    await wire.write(verifyHead('{}'));
    expect((await wire.answer()).body).toBe('lane');
    await wire.closed();
    wire.socket.end(verifyHead('[]'), 'latin1');
    await expect.poll(() => accepted[0]?.destroyed).toBe(true);
    expect([answered.length, byNode, failures]).toEqual([1, [], []]);
  });

  test('that brings a long request in pieces is node:http’s at once', async () => {
    // Attack: 256 KB but for their end, then byte by byte; who keeps it all together copies it for each of them.
    const wire = await open();
    const request = verifyHead('x'.repeat(20_000));
    await wire.write(request.slice(0, -1));
    await expect.poll(() => accepted[0]?.listeners('timeout').length).toBe(1);
    await expect.poll(() => accepted[0]?.bytesRead).toBe(request.length - 1);
    expect(accepted[0]?.timeout).toBe(0);
    await wire.write('x');
    expect((await wire.answer()).body).toBe('node');
    expect(byNode).toHaveLength(1);
    wire.socket.destroy();
  });

  test('stays open for a second longer than its client is told', async () => {
    const wire = await open();
    await wire.write(verifyHead('{}'));
    expect((await wire.answer()).body).toBe('lane');
    expect(accepted[0]?.timeout).toBe(66_000);
    wire.socket.destroy();
  });

  test('of a client that does not read is not kept for good', async () => {
    // Attack: requests without end whose answers are never read, on as many connections as there may be.
    answerWith = async () => ({ status: 200, body: 'x'.repeat(16 * 1024 * 1024) });
    const wire = await open();
    wire.socket.pause();
    await wire.write(verifyHead('{}'));
    await expect.poll(() => accepted[0]?.writableNeedDrain).toBe(true);
    expect(accepted[0]?.timeout).toBe(66_000);
    accepted[0]?.emit('timeout');
    expect(accepted[0]?.destroyed).toBe(true);
  });

  test('is closed with the answer once the server is ending', async () => {
    const wire = await open();
    await wire.write(verifyHead('{}'));
    await wire.answer();
    isStopping = true;
    await wire.write(verifyHead('{}'));
    expect((await wire.answer()).body).toBe('lane');
    await wire.closed();
  });

  test('that is gone before its answer harms nobody', async () => {
    let finish: () => void = () => {};
    answerWith = () =>
      new Promise((resolve) => {
        finish = () => resolve({ status: 200, body: 'lane' });
      });
    const wire = await open();
    await wire.write(verifyHead('{}'));
    const before = finish;
    await expect.poll(() => finish !== before || answered.length === 0).toBe(true);
    wire.socket.destroy();
    await wire.closed();
    finish();
    const other = await open();
    await other.write('GET /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect((await other.answer()).body).toBe('node');
    other.socket.destroy();
  });

  test('never takes a header with a line break in it', async () => {
    // Attack: a value that ends its field and begins another, or a whole answer of its own.
    answerWith = async (_request, headers) => {
      headers.push('X-A', 'b\r\nX-Injected: 1');
      return { status: 200, body: 'lane' };
    };
    const wire = await open();
    await wire.write(verifyHead('{}'));
    await wire.closed();
    expect(failures).toEqual([expect.stringContaining('X-A')]);
  });
});

describe('an answer', () => {
  let server: TestServer;
  let port: number;
  beforeAll(async () => {
    server = await startTestServer();
    port = Number(new URL(server.url).port);
  });
  afterAll(() => server.close());

  test('is the same, byte by byte, as the one by way of node:http', async () => {
    const { api, key } = server.operator;
    const issuer = await api.create('/v1/issuers', { name: 'lanes' });
    const path = `/v1/issuers/${issuer.id}/api-keys`;
    const subject = await createKey(api, path, { name: 'ключ ü 😀', restrictions: { scopes: ['a:read'] } });
    const revoked = await createKey(api, path);
    await api.post(`${revoked.path}/revoke`);
    const basic = `Authorization: Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
    const json = 'Content-Type: application/json';
    const id = 'X-Request-Id: lanes';
    const verifies: [string, string[]][] = [
      [JSON.stringify({ key: subject.secret }), [basic, json, id]],
      [JSON.stringify({ key: subject.secret, scopes: ['b:read'] }), [basic, json, id]],
      [JSON.stringify({ key: revoked.secret }), [basic, json, id]],
      [JSON.stringify({ key: 'x' }), [basic, json, id, 'Origin: https://a.example']],
      [JSON.stringify({ key: subject.secret, explain: true }), [basic, json, id]],
      ['{"key":', [basic, json, id]],
      ['{"key":"\u00ff"}', [basic, json, id]],
      ['{}', [basic, json, id]],
      ['', [basic, json, id]],
      ['{"key":"x"}', [basic, id]],
      ['{"key":"x"}', [basic, 'Content-Type: text/plain', id]],
      ['{"key":"x"}', [json, id]],
      ['{"key":"x"}', ['Authorization: Bearer nobody', json, id]],
    ];
    const requests = [
      ...verifies.map(([body, lines]) => (more: string[]) => {
        const head = ['POST /v1/keys/verify HTTP/1.1', 'Host: localhost', ...lines, ...more];
        return `${[...head, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`;
      }),
      ...[
        [issuer.id, `X-API-Key: ${subject.secret}`],
        [issuer.id, 'X-API-Key: nobody'],
        [issuer.id, 'X-Nothing: x'],
        [`${issuer.id}?scope=b:read`, `X-API-Key: ${subject.secret}`],
        [`${issuer.id}?status=nginx&scope=b:read`, `X-API-Key: ${subject.secret}`],
        [`${issuer.id}?nonsense=1`, `X-API-Key: ${subject.secret}`],
        ['i_nobody', `X-API-Key: ${subject.secret}`],
      ].map(
        ([target, line]) =>
          (more: string[]) =>
            `${[`GET /v1/authorize/${target} HTTP/1.1`, 'Host: localhost', line, id, ...more].join('\r\n')}\r\n\r\n`,
      ),
    ];
    for (const request of requests) {
      const [lane, node] = [await Wire.open(port), await Wire.open(port)];
      // Twice: the second time a connection knows the head.
      await lane.write(request([]));
      const first = await lane.answer();
      await lane.write(request([]));
      const second = await lane.answer();
      await node.write(request(['Connection: close']));
      const other = await node.answer();
      expect(first).toEqual(other);
      expect(second).toEqual(other);
      lane.socket.destroy();
    }
  });
});
