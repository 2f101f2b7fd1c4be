import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { refusalForNginx } from '../../src/verification/nginx-answer.ts';

/** What a service in Gatelodge's place does with the next requests. */
export type Behaviour =
  | {
      answers: number;
      headers?: Record<string, string>;
      body?: string;
      /** Hangs up on a connection that has carried a request before, as a service that is just going down. */
      onlyOnFreshConnections?: boolean;
    }
  /** Writes this, which need not be HTTP, and closes the connection. */
  | { writes: string }
  /** Takes the request and says nothing. */
  | 'hangs'
  /** Closes the connection without an answer. */
  | 'hangs up';

/** Stands where Gatelodge should, for answers that a healthy one does not give at the moment a test wants them. */
export interface StandIn {
  readonly address: string;
  behaviour: Behaviour;
  /** The last request: its method, address, headers, and how many bytes came with it. */
  readonly lastAsked: { method: string; url: string; headers: IncomingHttpHeaders; bodyBytes: number };
  close(): Promise<void>;
}

/** As Gatelodge does, it tells nginx a 429 by another status where that is asked for. */
export async function startStandIn(): Promise<StandIn> {
  const used = new WeakSet<Socket>();
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const isFresh = !used.has(request.socket);
    used.add(request.socket);
    const { behaviour } = standIn;
    const asked = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      bodyBytes: 0,
    };
    standIn.lastAsked = asked;
    request.on('data', (chunk: Buffer) => {
      asked.bodyBytes += chunk.length;
    });
    if (behaviour === 'hangs') return;
    if (behaviour === 'hangs up') {
      request.socket.destroy();
      return;
    }
    if ('writes' in behaviour) {
      request.socket.end(behaviour.writes, 'latin1');
      return;
    }
    const { answers, headers = {}, body = '', onlyOnFreshConnections = false } = behaviour;
    if (onlyOnFreshConnections && !isFresh) {
      request.socket.destroy();
      return;
    }
    const isRefusal = [401, 403, 429].includes(answers);
    const flat = Object.entries(headers).flat();
    if (isRefusal && request.url?.includes('status=nginx')) {
      const refusal = refusalForNginx(answers, body);
      response.writeHead(refusal.status, [...flat, ...refusal.headers]);
    } else {
      response.writeHead(answers, flat);
    }
    response.end(body);
  };
  const server = createServer(handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const standIn: { -readonly [Name in keyof StandIn]: StandIn[Name] } = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    behaviour: { answers: 500 },
    lastAsked: { method: '', url: '', headers: {}, bodyBytes: 0 },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return standIn;
}
