import type { Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server as TlsServer } from 'node:tls';
import { isBusyInFastLane } from './fast-lane.ts';

/** How long a connection that carries no request stays open, so that a request on its way is not cut off. */
const usualLingerMs = 1_000;
/** Whoever has not sent a request, or read an answer, to its end by now is cut off. */
const usualCutOffMs = 7_000;
const lookEveryMs = 20;

/** The answer that a connection carries just now; Node keeps it there, and those who drain servers look for it there. */
type HttpSocket = Socket & { readonly _httpMessage?: ServerResponse | null };

type Seen = { bytesRead: number; idleMs: number };

/**
 * Ends a server without failing a request.
 *
 * Node's own `close` cuts every connection that is idle at that moment, also when a client with keep-alive has just
 * sent its next request over it, which then fails for no fault of its own. And it waits without end for a connection
 * over which no request has come yet, as browsers open them in advance. So: no new connections; every answer from now
 * on says `Connection: close` and ends its connection; one on which nothing comes for a second is closed.
 */
export class Drain {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  /** Those that speak HTTP: with TLS not the connections themselves but what is in them. */
  readonly #sockets = new Set<HttpSocket>();
  #isStopping = false;

  /** @param server before it listens */
  constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => hold(this.#connections, socket));
    const httpEvent = server instanceof TlsServer ? 'secureConnection' : 'connection';
    server.on(httpEvent, (socket: HttpSocket) => hold(this.#sockets, socket));
    server.prependListener('request', (_request, response: ServerResponse) => {
      if (this.#isStopping) response.setHeader('Connection', 'close');
    });
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  /**
   * Resolves once every connection has ended.
   *
   * @param options.lingerMs how long an idle connection stays open; 1000 by default
   * @param options.cutOffMs after how long whatever is still open is cut off; 7000 by default
   * @returns how many connections had to be cut off
   */
  async run(options: { lingerMs?: number; cutOffMs?: number } = {}): Promise<number> {
    const { lingerMs = usualLingerMs, cutOffMs = usualCutOffMs } = options;
    this.#isStopping = true;
    for (const { _httpMessage: answer } of this.#sockets) {
      if (answer && !answer.headersSent) answer.setHeader('Connection', 'close');
    }
    const isClosed = new Promise<boolean>((resolve) => this.#server.once('close', () => resolve(true)));
    // That of net.Server, which only stops listening; that of http.Server cuts idle connections as well.
    NetServer.prototype.close.call(this.#server);
    const left = (await this.#closeIdle(isClosed, lingerMs, cutOffMs)) ? [] : [...this.#connections];
    for (const connection of left) connection.destroy();
    await isClosed;
    // Ends the timers of http.Server.
    this.#server.close();
    return left.length;
  }

  /** @returns false when some were still at work at the time to cut them off */
  async #closeIdle(isClosed: Promise<boolean>, lingerMs: number, cutOffMs: number): Promise<boolean> {
    const startedAtMs = performance.now();
    const lastSeen = new Map<Socket, Seen>();
    let lastLookMs = startedAtMs;
    do {
      const nowMs = performance.now();
      if (nowMs - startedAtMs >= cutOffMs) return false;
      // A process that was held up has not read what came meanwhile, so it does not know who was idle for so long.
      const passedMs = Math.min(nowMs - lastLookMs, 2 * lookEveryMs);
      lastLookMs = nowMs;
      for (const socket of this.#sockets) {
        const { bytesRead } = socket;
        const seen = lastSeen.get(socket) ?? { bytesRead, idleMs: 0 };
        const isAtWork =
          Boolean(socket._httpMessage) ||
          isBusyInFastLane(socket) ||
          // An answer of the fast lane that its client has not taken yet; that of node:http is under way until then.
          socket.writableLength > 0 ||
          bytesRead !== seen.bytesRead;
        const idleMs = isAtWork ? 0 : seen.idleMs + passedMs;
        lastSeen.set(socket, { bytesRead, idleMs });
        if (!isAtWork && idleMs >= lingerMs) socket.destroy();
      }
    } while (!(await Promise.race([isClosed, sleep(lookEveryMs, false)])));
    return true;
  }
}

function hold<T extends Socket>(set: Set<T>, socket: T): void {
  set.add(socket);
  socket.once('close', () => set.delete(socket));
}
