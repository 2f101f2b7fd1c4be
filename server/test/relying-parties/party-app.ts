import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Handler = (request: Request) => Promise<Response>;

/** An application that listens at a free port of 127.0.0.1, and answers as a handler of fetch's kind says. */
export class PartyApp implements AsyncDisposable {
  readonly url: string;
  /** May be set once its URL is known to whoever it signs users in at. */
  handler: Handler = async () => new Response(null, { status: 404 });
  readonly #server: Server;

  static async start(): Promise<PartyApp> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new PartyApp(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const headers = new Headers();
        for (const [name, value] of Object.entries(request.headersDistinct))
          for (const each of value ?? []) headers.append(name, each);
        const answer = await this.handler(
          new Request(`${this.url}${request.url}`, {
            method: request.method ?? 'GET',
            headers,
            ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
          }),
        ).catch((error: Error) => new Response(error.stack ?? error.message, { status: 500 }));
        response.writeHead(answer.status, [
          ...[...answer.headers].filter(([name]) => name !== 'set-cookie').flat(),
          ...answer.headers.getSetCookie().flatMap((line) => ['Set-Cookie', line]),
        ]);
        response.end(Buffer.from(await answer.arrayBuffer()));
      })();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
