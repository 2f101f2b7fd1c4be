import net from 'node:net';
import type { Gatelodge } from './gatelodge.ts';
import type { Expected } from './load.ts';

/** One of the two ways to ask about a key: how a request looks, and what is answered for a valid key and another. */
export interface Endpoint {
  name: string;
  request: (secret: string) => Buffer;
  valid: Expected;
  unknown: Expected;
}

/** `POST /v1/keys/verify`, with a caller who says who he is and a demand of a scope. */
export function verifyEndpoint(gatelodge: Gatelodge): Endpoint {
  return {
    name: 'POST /v1/keys/verify',
    request: (secret) =>
      postJson('/v1/keys/verify', { key: secret, scopes: ['invoices:read'] }, [
        `Authorization: ${gatelodge.authorization}`,
      ]),
    valid: { status: 200, text: '"valid":true' },
    unknown: { status: 200, text: '"code":"NOT_FOUND"' },
  };
}

/** `GET /v1/authorize/{issuer_id}`, as a gateway asks it. */
export function authorizeEndpoint(issuerId: string): Endpoint {
  return {
    name: 'GET /v1/authorize',
    request: (secret) =>
      Buffer.from(
        `GET /v1/authorize/${issuerId}?scope=invoices:read HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${secret}\r\n\r\n`,
      ),
    valid: { status: 200, text: 'X-Gatelodge-Kind: secret' },
    unknown: { status: 401, text: '"code":"invalid_key"' },
  };
}

/** A request for what anybody may read, as bytes. */
export function getPublic(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
}

/** A request with a JSON body, as bytes. */
export function postJson(path: string, content: unknown, headers: readonly string[] = []): Buffer {
  const body = JSON.stringify(content);
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    ...headers,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}

/** Picks requests so that every one of them has its turn, on whatever connection, and none follows its neighbour. */
export function inTurn(requests: readonly Buffer[]): (index: number, count: number) => Buffer {
  // Both primes, so that no connection and no round keeps to a part of them.
  return (index, count) => requests[(index * 7_919 + count * 6_151) % requests.length]!;
}

/** An answer for the floor to give: the head, less what node:http adds by itself, and the body. */
export interface Sample {
  headers: string[];
  body: string;
}

/** Asks once, on a connection of its own, and answers what came back, header names as they were written. */
export async function sampleAnswer(port: number, request: Buffer): Promise<Sample> {
  const text = await new Promise<string>((resolve, reject) => {
    let received = '';
    const socket = net.connect({ port, host: '127.0.0.1' }, () => {
      // The head of the request alone: an answer to what is asked for, and then the end of the connection.
      socket.write(withClose(request));
    });
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      received += chunk;
    });
    socket.on('error', reject);
    socket.on('end', () => resolve(received));
  });
  const headEnd = text.indexOf('\r\n\r\n');
  const own = /^(content-length|connection|date|keep-alive):/i;
  const lines = text.slice(0, headEnd).split('\r\n').slice(1);
  const headers = lines.filter((line) => !own.test(line)).flatMap((line) => splitOnce(line, ': '));
  return { headers, body: text.slice(headEnd + 4) };
}

function withClose(request: Buffer): string {
  return request.toString().replace('\r\n', '\r\nConnection: close\r\n');
}

function splitOnce(line: string, by: string): [string, string] {
  const at = line.indexOf(by);
  return [line.slice(0, at), line.slice(at + by.length)];
}
