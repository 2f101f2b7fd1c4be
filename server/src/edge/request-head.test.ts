import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { parseRequestHead } from './request-head.ts';

const verify = 'POST /v1/keys/verify HTTP/1.1';
const head = (...lines: string[]) => lines.join('\r\n');
const plain = [verify, 'Host: localhost', 'Content-Length: 2'];

describe('a plain head', () => {
  test('is read as what it says', () => {
    expect(
      parseRequestHead(
        head(verify, 'Host: localhost:4600', 'AUTHORIZATION:  Bearer x ', 'X-Empty:', 'content-length: 17'),
      ),
    ).toEqual({
      method: 'POST',
      url: '/v1/keys/verify',
      headers: {
        host: 'localhost:4600',
        authorization: 'Bearer x',
        'x-empty': '',
        'content-length': '17',
      },
      contentLength: 17,
    });
  });

  test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])('of forward auth by %s has no body', (method) => {
    const line = `${method} /v1/authorize/i_x?scope=a:read HTTP/1.1`;
    expect(parseRequestHead(head(line, 'Host: x'))).toMatchObject({ method, contentLength: 0 });
    expect(parseRequestHead(head(line, 'Host: x', 'Content-Length: 0'))).not.toBeNull();
    expect(parseRequestHead(head(line, 'Host: x', 'Content-Length: 5'))).toBeNull();
  });
});

// Attack: request smuggling. Two readers of one connection that disagree where a request ends, or what it is, let a
// caller put a request of its own into somebody else's mouth. What can be read in two ways is not read here at all.
describe('what could be read in another way is left to node:http', () => {
  test.each([
    'Transfer-Encoding: chunked',
    'transfer-encoding: identity',
    'Content-Length: 3',
    'Content-Length : 2',
    ' Content-Length: 2',
    'X-Folded: a\r\n b',
    'X-Bare: a\nTransfer-Encoding: chunked',
    'X-Bare: a\rb',
    'X-Nul: a\u0000b',
    'X-Latin: \u00e9',
    'X Space: a',
    'X_Underscore: a',
    '__proto__: a',
    'constructor: a',
    ': a',
    'no colon',
    'Host: other',
    'Connection: close',
    'Connection: keep-alive, Upgrade',
    'Upgrade: websocket',
    'Expect: 100-continue',
    'Trailer: X-A',
    'TE: trailers',
  ])('a further line %j', (line) => {
    expect(parseRequestHead(head(...plain, line))).toBeNull();
  });

  test.each(['+2', '2, 2', '0x2', '02', '1e1', '-1', '2 2', '9999999', ''])('the length %j', (length) => {
    expect(parseRequestHead(head(verify, 'Host: x', `Content-Length: ${length}`))).toBeNull();
  });

  test.each(['a, b', ''])('the host %j', (host) => {
    expect(parseRequestHead(head(verify, `Host: ${host}`, 'Content-Length: 2'))).toBeNull();
  });

  test.each([
    'POST /v1/keys/verify HTTP/1.0',
    'POST /v1/keys/verify HTTP/1.1 ',
    'POST  /v1/keys/verify HTTP/1.1',
    'post /v1/keys/verify HTTP/1.1',
    'POST /v1/keys/verify?x=1 HTTP/1.1',
    'POST http://localhost/v1/keys/verify HTTP/1.1',
    'POST /v1/keys/verify/ HTTP/1.1',
    'POST //v1/keys/verify HTTP/1.1',
    'GET /v1/keys/verify HTTP/1.1',
    'HEAD /v1/authorize/i_x HTTP/1.1',
    'OPTIONS /v1/authorize/i_x HTTP/1.1',
    'GET /v1/authorize/i_x y HTTP/1.1',
    'GET /v1/authorize/\u00e9 HTTP/1.1',
    'GET /v1/me HTTP/1.1',
    '\r\nPOST /v1/keys/verify HTTP/1.1',
    '',
  ])('the request line %j', (line) => {
    expect(parseRequestHead(head(line, ...plain.slice(1)))).toBeNull();
  });

  test('a head without Host, or a body without its length', () => {
    expect(parseRequestHead(head(verify, 'Content-Length: 2'))).toBeNull();
    expect(parseRequestHead(head(verify, 'Host: x'))).toBeNull();
  });
});

// Attack: without any credential, a line of nothing but white space and a character that can't stand there. A pattern that
// tries every division of the white space holds the event loop for a third of a second at 8 KB, and for minutes at this size.
test.each([' ', '\t', 'a ', ' a', 'a'])('is done with a line of %j over and over at once', (piece) => {
  const value = piece.repeat(200_000);
  expect(parseRequestHead(head(...plain, `X-A:${value}\u0001`))).toBeNull();
  expect(parseRequestHead(head(...plain, `X-A:${value}`))?.headers['x-a']).toBe(value.trim());
});

describe('beside the parser of node:http', () => {
  interface Seen {
    method: string | undefined;
    url: string | undefined;
    headers: IncomingHttpHeaders;
    body: string;
  }
  let reference: Server;
  let seen: Seen[] = [];
  beforeAll(async () => {
    reference = createServer({ joinDuplicateHeaders: true }, (request, response) => {
      const { method, url, headers } = request;
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        seen.push({ method, url, headers, body });
        response.writeHead(204, { Connection: 'close' }).end();
      });
    });
    await new Promise<void>((resolve) => reference.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    reference.close();
  });

  /** What node:http makes of these bytes, which end with the body. */
  async function readByNode(bytes: string): Promise<Seen[]> {
    seen = [];
    await new Promise<void>((resolve) => {
      const socket = connect((reference.address() as AddressInfo).port, '127.0.0.1', () =>
        socket.end(bytes, 'latin1'),
      );
      socket.on('error', () => {}).on('close', () => resolve());
      socket.resume();
    });
    return seen;
  }

  const byte = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...'aZ0-: \t,;=_"') },
    { weight: 1, arbitrary: fc.nat(255).map((code) => String.fromCharCode(code)) },
  );
  const noise = fc.array(byte, { maxLength: 12 }).map((bytes) => bytes.join(''));
  const name = fc.oneof(
    fc.constantFrom(
      'Host',
      'host',
      'Content-Length',
      'Transfer-Encoding',
      'Connection',
      'X-A',
      'Authorization',
    ),
    noise,
  );
  const value = fc.oneof(fc.constantFrom('3', '0', 'x', 'chunked', 'keep-alive', 'localhost', ''), noise);
  const end = fc.oneof(
    { weight: 20, arbitrary: fc.constant('\r\n') },
    { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\n ') },
  );
  const line = fc
    .tuple(name, fc.constantFrom(':', ': ', ' : ', ''), value, end)
    .map((parts) => parts.join(''));
  const requestLine = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(verify, 'GET /v1/authorize/i_x?a=b HTTP/1.1') },
    { weight: 1, arbitrary: noise.map((text) => `GET /v1/authorize/${text} HTTP/1.1`) },
  );
  const usual = fc.constantFrom('Host: x\r\n', 'Host: x\r\nContent-Length: 3\r\n', '');

  test('whatever is taken here is one request to it, and the same one', async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(requestLine, usual, fc.array(line, { maxLength: 3 }), async (first, known, lines) => {
        const text = `${first}\r\n${known}${lines.join('')}`;
        const headEnd = `${text}\r\n`.indexOf('\r\n\r\n');
        if (headEnd === -1) return;
        const parsed = parseRequestHead(text.slice(0, headEnd));
        if (parsed === null) return;
        taken++;
        const { method, url, headers, contentLength } = parsed;
        const body = 'GET'.padEnd(contentLength, ' ').slice(0, contentLength);
        expect(await readByNode(`${text.slice(0, headEnd)}\r\n\r\n${body}`)).toEqual([
          { method, url, headers, body },
        ]);
      }),
      { numRuns: scaled(3_000, 60_000) },
    );
    expect(taken).toBeGreaterThan(scaled(100, 2_000));
  });
});
