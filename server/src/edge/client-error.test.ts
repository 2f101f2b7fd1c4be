import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

/** The one answer to these bytes, which has to be a problem, after which the server closes the connection. */
async function expectProblem(bytes: string, status: number, code: string): Promise<void> {
  const text = await exchange(server.url, bytes);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const lines = head.split('\r\n');
  expect(lines[0]).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [A-Z]`));
  expect(lines).toContain('Content-Type: application/problem+json');
  expect(lines).toContain('Connection: close');
  expect(lines).toContain(`Content-Length: ${Buffer.byteLength(body)}`);
  const problem = JSON.parse(body);
  expect(problem).toMatchObject({ status, code, type: `http://localhost:4600/docs/errors/${code}` });
  expect(problem.request_id).toMatch(/^req_[0-9a-z]{25}$/);
  expect(lines).toContain(`X-Request-Id: ${problem.request_id}`);
}

const start = 'GET /v1/me HTTP/1.1\r\nHost: x\r\n';

describe('431', () => {
  test.each([17_000, 40_000, 200_000])('headers of %i bytes', async (bytes) => {
    await expectProblem(`${start}X-Big: ${'x'.repeat(bytes)}\r\n\r\n`, 431, 'headers_too_large');
  });

  test('many small ones, and a long URL', async () => {
    await expectProblem(`${start}${'X-Small: 1\r\n'.repeat(3_000)}\r\n`, 431, 'headers_too_large');
    await expectProblem(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'headers_too_large');
  });

  test('not up to 16 KiB', async () => {
    const answer = await send(`${server.url}/healthz`, { headers: { 'X-Big': 'x'.repeat(15_500) } });
    expect(answer.status).toBe(200);
  });
});

describe('400', () => {
  // Attack: what two parsers read in two ways smuggles a second request past the first of them.
  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a method that does not exist', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a header without a name', `${start}: x\r\n\r\n`],
    ['a space before the colon', `${start}Content-Length : 5\r\n\r\nhello`],
    ['a bare line feed in a header', `${start}X-A: a\nX-B: b\r\n\r\n`],
    ['NUL in a header', `${start}X-A: a\0b\r\n\r\n`],
    ['two lengths', `${start}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
    ['a negative length', `${start}Content-Length: -1\r\n\r\n`],
    ['a length and chunks', `${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunked not last', `${start}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['an unheard-of version', 'GET / HTTP/3.7\r\nHost: x\r\n\r\n'],
  ])('%s', async (_name, bytes) => {
    await expectProblem(bytes, 400, 'bad_request');
  });
});

test('a body that breaks off in its framing is answered once, and nobody else notices', async () => {
  const { secret } = server.operator.key;
  const text = await exchange(
    server.url,
    `POST /v1/keys/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\nZZ\r\n`,
  );
  expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect((await send(`${server.url}/healthz`)).status).toBe(200);
});

// Attack: resets drown the log in errors, and make whoever counts them believe that Postgres is gone.
test.each(['/v1/keys/verify', '/v1/issuers'])(
  'a client that goes away in the middle of its body of %s leaves no error behind',
  async (path) => {
    const { hostname, port } = new URL(server.url);
    const logged = server.logLines.length;
    for (let attempt = 0; attempt < 10; attempt++) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), hostname, () => {
          const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.operator.key.secret}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"key":`;
          socket.write(head, () => socket.resetAndDestroy());
        });
        socket.on('close', () => resolve());
      });
    }
    expect((await send(`${server.url}/healthz`)).status).toBe(200);
    const errors = server.logLines.slice(logged).filter((line) => JSON.parse(line).level >= 50);
    expect(errors).toEqual([]);
  },
);
