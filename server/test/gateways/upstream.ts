import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
// @ts-expect-error the example is plain JavaScript
import { createTenantApi } from '../../../examples/tenant-api/server.mjs';

/** What reached the API behind the gateway. */
export interface SeenRequest {
  method: string;
  url: string;
  /** Names as they came, lower-cased, each with its value. */
  headers: [name: string, value: string][];
  bodyBytes: number;
}

/** The example API behind the gateway, with a few paths more for what tests ask of it. */
export interface Upstream {
  readonly address: string;
  /** Every request so far. */
  readonly seen: SeenRequest[];
  /** The last one, which has to have come. */
  last(): SeenRequest;
  close(): Promise<void>;
}

/** `/echo` answers with the request as it came, `/status/{n}` with that status, `/ending` as a path that will end. */
export async function startUpstream(): Promise<Upstream> {
  const api = createTenantApi() as (request: IncomingMessage, response: ServerResponse) => void;
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', rawHeaders } = request;
    const headers = rawHeaders.flatMap((name, index): SeenRequest['headers'] =>
      index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1]!]] : [],
    );
    const entry: SeenRequest = { method, url, headers, bodyBytes: 0 };
    seen.push(entry);
    if (!url.startsWith('/echo') && !url.startsWith('/status/') && url !== '/ending') {
      api(request, response);
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      entry.bodyBytes = body.length;
      if (url.startsWith('/echo')) {
        // Of these the gateway has Gatelodge's own to give.
        response.writeHead(200, {
          'X-Environment': 'upstream',
          'X-Request-Id': 'upstream',
          'X-RateLimit-Limit': 'upstream',
          'X-RateLimit-Remaining': 'upstream',
          'X-RateLimit-Reset': 'upstream',
          RateLimit: 'upstream',
          'RateLimit-Policy': 'upstream',
          'X-Upstream': 'yes',
        });
        response.end(JSON.stringify({ ...entry, body: body.length > 10_000 ? '' : body.toString() }));
      } else if (url === '/ending') {
        response.writeHead(200, { Deprecation: '@1735689600', Sunset: 'Fri, 01 Jan 2027 00:00:00 GMT' });
        response.end();
      } else {
        const status = Number(url.slice('/status/'.length));
        response.writeHead(status, { 'Content-Type': 'text/plain', 'X-Upstream': 'yes' });
        response.end(`the upstream's own ${status}`);
      }
    });
  });
  // To the nonce that RFC 6455 §1.3 has for an example.
  const acceptance = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
  // Agrees to whatever protocol it is asked for, and speaks none.
  server.on('upgrade', ({ method = '', url = '', headers }: IncomingMessage, socket) => {
    const asked = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
    seen.push({ method, url, headers: asked, bodyBytes: 0 });
    // Whoever opened it may be gone already; unread, what came over it would keep it open.
    socket.on('error', () => {}).resume();
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${headers.upgrade}\r\n${acceptance}\r\n\r\n`,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    last: () => {
      const last = seen.at(-1);
      if (last === undefined) throw new Error('nothing reached the upstream');
      return last;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
