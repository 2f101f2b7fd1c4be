import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

test('CONNECT is refused like any other method that nothing answers, and ends its connection', async () => {
  // Attack: a tunnel through us to what only we can reach.
  for (const target of ['127.0.0.1:5432', 'example.com:443', 'x']) {
    const text = await exchange(
      server.url,
      `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    expect(text).toMatch(/\r\nAllow: GET, /);
    expect(text).toContain('Connection: close\r\n');
    const [head, body] = text.split('\r\n\r\n') as [string, string];
    const problem = JSON.parse(body);
    expect(problem.code).toBe('method_not_allowed');
    expect(head).toContain(`X-Request-Id: ${problem.request_id}`);
  }
});

test('a client that resets its CONNECT harms nobody', async () => {
  const { hostname, port } = new URL(server.url);
  for (let attempt = 0; attempt < 10; attempt++) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write('CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n', () => socket.resetAndDestroy());
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  }
  expect((await send(`${server.url}/healthz`)).status).toBe(200);
});
