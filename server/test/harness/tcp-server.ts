import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/** A bare TCP server on a free port, which is given each connection with the first bytes that come on it. */
export class TcpServer implements AsyncDisposable {
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();

  /** @param serve answers `local` in HTTP unless given */
  static async start(
    serve: (socket: Socket) => void = (socket) =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlocal'),
    host = '127.0.0.1',
  ): Promise<TcpServer> {
    const server = new TcpServer();
    server.#server.on('connection', (socket) => {
      server.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => server.#sockets.delete(socket));
      socket.once('data', () => serve(socket));
    });
    server.#server.listen(0, host);
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
