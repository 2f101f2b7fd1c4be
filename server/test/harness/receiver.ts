import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { canonicalIp } from '../../src/api-keys/ip-ranges.ts';
import { receiverCertificate } from './certificate.ts';

/**
 * An address of loopback that tests of outbound calls allow, as if it were one of the internet. The others stay forbidden, so
 * that nothing has to leave the machine to tell the two apart.
 */
export const receiverAddress = '127.0.0.2';
/** What `GATELODGE_OUTBOUND_ALLOW` has to name for it. */
export const receiverNetwork = `${receiverAddress}/32`;

export interface Received {
  method: string;
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
}

/** A server at `receiverAddress` that keeps what it is sent and answers as a test says. */
export class Receiver implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly scheme: 'http' | 'https';
  readonly received: Received[] = [];
  connections = 0;

  /** @param answer called once the body is there; 200 with `ok` unless given */
  static async start(options: { tls?: boolean; answer?: RequestListener } = {}): Promise<Receiver> {
    const receiver = new Receiver(
      options.tls ?? true,
      options.answer ?? ((_request, response) => response.end('ok')),
    );
    receiver.#server.listen(0, receiverAddress);
    await once(receiver.#server, 'listening');
    return receiver;
  }

  private constructor(tls: boolean, answer: RequestListener) {
    this.scheme = tls ? 'https' : 'http';
    const listener: RequestListener = (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('error', () => {});
      response.on('error', () => {});
      request.on('end', () => {
        const { method = '', url: path = '', headers } = request;
        this.received.push({ method, path, headers, body: Buffer.concat(chunks).toString() });
        answer(request, response);
      });
    };
    this.#server = tls ? createHttpsServer(receiverCertificate, listener) : createHttpServer(listener);
    this.#server.on('connection', (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', () => {});
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** A URL of this server, by its address unless another host is given. */
  url(path = '/', host: string = receiverAddress): string {
    return `${this.scheme}://${host}:${this.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Counts who connects to it, at whatever address of this machine but `receiverAddress`: nobody should. */
export class Canary implements AsyncDisposable {
  readonly #server = createTcpServer((socket) => {
    if (canonicalIp(socket.localAddress ?? '') !== receiverAddress) this.connections++;
    socket.destroy();
  });
  connections = 0;

  static async start(): Promise<Canary> {
    const canary = new Canary();
    canary.#server.listen(0);
    await once(canary.#server, 'listening');
    return canary;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}
