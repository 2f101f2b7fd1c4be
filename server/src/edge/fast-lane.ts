import { type Server, STATUS_CODES } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type EdgeAnswer, finishHeaders } from './answer.ts';
import type { EdgeRequest } from './edge-request.ts';
import { maxBodyBytes } from './read-body.ts';
import { parseRequestHead, quickBegins, type RequestHead } from './request-head.ts';

interface FastLaneOptions {
  /** Answers a whole request; `headers` takes the answer's. Never rejects. */
  answer: (request: EdgeRequest, headers: string[]) => Promise<EdgeAnswer>;
  /** Whether the server is ending: every answer then closes its connection. */
  isStopping: () => boolean;
  /** How long a connection without a request stays open. */
  keepAliveMs: number;
  /** An answer could not be written, and its connection is closed. */
  onError: (error: unknown) => void;
}

/** What is heard of a connection before its first request, or of a request that is not whole, for so long is node:http's. */
const patienceMs = 1_000;
const maxHeadBytes = 8 * 1024;
/** Ten thousand idle connections keep their heads; those that are worth it are not long. */
const maxKeptHead = 2 * 1024;
/**
 * A request that is longer and not all there yet is node:http's. Whoever sends byte by byte has what came before copied
 * for each of them, and nobody has shown a key yet.
 */
const maxWaitingBytes = 16 * 1024;
/** How much longer an idle connection stays than its client is told, as with node:http: a request may be on its way. */
const keepAliveGraceMs = 1_000;

/** A connection that a request is under way on: whoever drains the server waits for it. */
const busy = Symbol('busy in the fast lane');

/** Whether the fast lane has a request of this connection under way. */
export function isBusyInFastLane(socket: Socket & { [busy]?: boolean }): boolean {
  return socket[busy] === true;
}

/**
 * Lets a server answer the quick operations without node:http, which costs more than what they do (see
 * docs/contributing/decisions/0010). A connection begins here; its first request that is not one of these few, whole and
 * plain, hands it over to node:http with all that has come, for good.
 */
export function openFastLane(server: Server, options: FastLaneOptions): void {
  const event = server instanceof HttpsServer ? 'secureConnection' : 'connection';
  const [accept, ...others] = server.listeners(event) as ((socket: Socket) => void)[];
  if (accept === undefined) throw new Error('the server has no listener of node:http');
  server.removeAllListeners(event);
  server.on(
    event,
    (socket: Socket) => new LaneConnection(socket, options, () => accept.call(server, socket)),
  );
  for (const other of others) server.on(event, other);
}

/** One request at a time: what comes before its answer waits, and then is node:http's. */
class LaneConnection {
  readonly #socket: Socket & { [busy]?: boolean };
  readonly #options: FastLaneOptions;
  readonly #handOver: () => void;
  /** What has come of a request that is not whole, or while one was under way. */
  #waiting: Buffer | null = null;
  #isBusy = false;
  #hasEnded = false;
  #timeoutMs = 0;
  /** Since when the rest of a request is waited for. */
  #waitsSinceMs = 0;
  /** Clients repeat themselves: the last head on this connection, and what it says. */
  #lastHead = '';
  #lastParsed: RequestHead | null = null;
  #hasAnswered = false;

  constructor(socket: Socket, options: FastLaneOptions, handOver: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#handOver = handOver;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('timeout', this.#onTimeout);
    this.#timeout(patienceMs);
  }

  readonly #onData = (chunk: Buffer): void => {
    const bytes = this.#waiting === null ? chunk : Buffer.concat([this.#waiting, chunk]);
    this.#waiting = null;
    if (this.#isBusy) {
      this.#waiting = bytes;
      this.#socket.pause();
      return;
    }
    this.#take(bytes);
  };

  #take(bytes: Buffer): void {
    const text = bytes.toString('latin1', 0, Math.min(bytes.length, maxHeadBytes));
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd === -1) {
      if (text.length === maxHeadBytes || !mayBeQuick(text)) this.#give(bytes);
      else this.#wait(bytes);
      return;
    }
    const head = this.#parse(text.slice(0, headEnd));
    if (head === null || head.contentLength > maxBodyBytes) {
      this.#give(bytes);
      return;
    }
    const bodyAt = headEnd + 4;
    const end = bodyAt + head.contentLength;
    if (bytes.length > end) this.#give(bytes);
    else if (bytes.length < end && end <= maxWaitingBytes) {
      // Under way from its head on, as with node:http.
      this.#socket[busy] = true;
      this.#wait(bytes);
    } else if (bytes.length < end) this.#give(bytes);
    else this.#answer(head, bytes.subarray(bodyAt)).catch(this.#onFailure);
  }

  #parse(text: string): RequestHead | null {
    if (text === this.#lastHead) return this.#lastParsed;
    const parsed = parseRequestHead(text);
    // One that is handed over never comes back.
    if (parsed !== null && text.length <= maxKeptHead) {
      this.#lastHead = text;
      this.#lastParsed = parsed;
    }
    return parsed;
  }

  async #answer({ method, url, headers }: RequestHead, wholeBody: Buffer): Promise<void> {
    const socket = this.#socket;
    this.#isBusy = true;
    this.#waitsSinceMs = 0;
    socket[busy] = true;
    if (this.#timeoutMs !== 0) this.#timeout(0);
    const answerHeaders: string[] = [];
    const answer = await this.#options.answer({ method, url, headers, socket, wholeBody }, answerHeaders);
    this.#isBusy = false;
    this.#hasAnswered = true;
    socket[busy] = false;
    if (socket.destroyed) return;
    const isLast = this.#options.isStopping();
    const hasRoom = this.#write(answerHeaders, answer, isLast);
    if (isLast || this.#hasEnded) {
      this.#end();
      return;
    }
    if (!hasRoom) {
      // Whoever does not read its answers gets no further ones, and is not waited for without end.
      socket.pause();
      this.#timeout(this.#idleMs);
      socket.once('drain', () => this.#goOn());
    } else this.#goOn();
  }

  #goOn(): void {
    if (this.#socket.destroyed) return;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) {
      if (this.#timeoutMs !== this.#idleMs) this.#timeout(this.#idleMs);
      if (this.#socket.isPaused()) this.#socket.resume();
    } else this.#give(waiting);
  }

  /** After the last answer: what is sent now would be carried out, and its answer could not be written any more. */
  #end(): void {
    this.#socket.off('data', this.#onData);
    this.#socket.resume();
    this.#socket.end();
  }

  /** @returns whether the client keeps up with reading */
  #write(headers: string[], answer: EdgeAnswer, isLast: boolean): boolean {
    finishHeaders(headers, answer);
    const body = answer.body ?? '';
    let head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n`;
    for (let at = 0; at < headers.length; at += 2) {
      const value = headers[at + 1]!;
      if (unsafeInField.test(value)) throw new Error(`the header ${headers[at]} has a value that is none`);
      head += `${headers[at]}: ${value}\r\n`;
    }
    const keepAlive = isLast
      ? 'Connection: close'
      : `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(this.#options.keepAliveMs / 1000)}`;
    head += `Date: ${dateField()}\r\n${keepAlive}\r\n\r\n`;
    // As many bytes as characters: ASCII.
    return Buffer.byteLength(body) === body.length
      ? this.#socket.write(head + body, 'latin1')
      : this.#socket.write(Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]));
  }

  /** For the rest of a request, which is not long in coming where somebody writes it in two parts. */
  #wait(bytes: Buffer): void {
    const nowMs = performance.now();
    if (this.#waitsSinceMs === 0) this.#waitsSinceMs = nowMs;
    // By the clock, since whoever sends a byte now and then is never silent.
    const leftMs = this.#waitsSinceMs + patienceMs - nowMs;
    if (leftMs <= 0) {
      this.#give(bytes);
      return;
    }
    // A copy of what may be a small part of a large buffer.
    this.#waiting = Buffer.from(bytes);
    this.#timeout(Math.ceil(leftMs));
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    if (this.#isBusy) return;
    if (this.#waiting === null) this.#socket.end();
    else this.#give(this.#waiting);
  };

  readonly #onTimeout = (): void => {
    if (this.#isBusy) return;
    const isIdle = this.#waiting === null && this.#hasAnswered;
    // One that has answered is idle; any other may be slow, and node:http has its own patience with those.
    if (isIdle || this.#socket.writableNeedDrain) this.#socket.destroy();
    else this.#give(this.#waiting);
  };

  readonly #onFailure = (error: unknown): void => {
    this.#options.onError(error);
    this.#socket.destroy();
  };

  readonly #onError = (): void => {
    this.#socket.destroy();
  };

  /** Hands the connection over to node:http, with what has come of its next request. */
  #give(bytes: Buffer | null): void {
    const socket = this.#socket;
    socket[busy] = false;
    this.#waiting = null;
    this.#timeout(0);
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('error', this.#onError);
    socket.off('timeout', this.#onTimeout);
    if (this.#hasEnded) {
      // A stream that has ended takes nothing back, and tells nobody again that it has.
      this.#handOver();
      if (bytes !== null) socket.emit('data', bytes);
      socket.emit('end');
      return;
    }
    socket.pause();
    if (bytes !== null) socket.unshift(bytes);
    this.#handOver();
    socket.resume();
  }

  get #idleMs(): number {
    return this.#options.keepAliveMs + keepAliveGraceMs;
  }

  #timeout(ms: number): void {
    this.#timeoutMs = ms;
    this.#socket.setTimeout(ms);
  }
}

/** What would end a field or begin another (RFC 9110 §5.5). */
const unsafeInField = /[^\t\x20-\x7e\x80-\xff]/;

/** Whether a head that is not whole may yet be that of a quick operation. */
function mayBeQuick(begin: string): boolean {
  return quickBegins.some((quick) => quick.startsWith(begin.slice(0, quick.length)));
}

let dateAtSecond = 0;
let dateText = '';

/** RFC 9110 §6.6.1, made once a second. */
function dateField(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateAtSecond) {
    dateAtSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}
