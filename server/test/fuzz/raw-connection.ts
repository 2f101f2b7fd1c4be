import { connect, type Socket } from 'node:net';

/** What came back for one request. Header names in lower case, repeated ones joined. */
export interface WireAnswer {
  status: number;
  headers: Record<string, string>;
  text: string;
}

const patienceMs = 20_000;

/** A connection on which requests are written byte by byte as they are, one after the other, and answers are read. */
export class RawConnection {
  readonly #url: URL;
  #socket: Socket | undefined;
  #received = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor(url: string) {
    this.#url = new URL(url);
  }

  /**
   * Sends a request and waits for its whole answer; null where the server closed the connection without one.
   *
   * @param isHead the answer has no content, whatever its headers say of one
   * @throws Error when nothing has come back in 20 seconds: something hangs
   */
  async exchange(request: Uint8Array, isHead: boolean): Promise<WireAnswer | null> {
    const isReused = this.#socket !== undefined;
    const answer = await this.#exchangeOnce(request, isHead);
    // The server may have closed a connection that was kept open while the request was on its way (RFC 9112 §9.5).
    return answer === null && isReused ? this.#exchangeOnce(request, isHead) : answer;
  }

  async #exchangeOnce(request: Uint8Array, isHead: boolean): Promise<WireAnswer | null> {
    const socket = this.#socket ?? (await this.#open());
    socket.write(request);
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const answer = this.#takeAnswer(isHead);
      // What is said before the real answer: 100 Continue.
      if (answer !== null && answer.status >= 200) {
        if (answer.headers.connection === 'close') this.close();
        return answer;
      }
      if (answer !== null) continue;
      if (this.#socket === undefined) return this.#takeAnswer(isHead, true);
      if (performance.now() > deadline) {
        this.close();
        throw new Error('no answer');
      }
      await this.#somethingHappens();
    }
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#received = Buffer.alloc(0);
  }

  #open(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(Number(this.#url.port), this.#url.hostname, () => resolve(socket));
      socket.setNoDelay(true);
      this.#socket = socket;
      this.#received = Buffer.alloc(0);
      socket.on('data', (bytes: Buffer) => {
        this.#received = Buffer.concat([this.#received, bytes]);
        this.#wake();
      });
      socket.on('error', reject);
      socket.on('close', () => {
        if (this.#socket === socket) this.#socket = undefined;
        this.#wake();
      });
    });
  }

  #somethingHappens(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1_000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** The first whole answer among what has been received, which it is taken out of. */
  #takeAnswer(isHead: boolean, isAll = false): WireAnswer | null {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd === -1) return null;
    const [statusLine, ...lines] = this.#received.subarray(0, headEnd).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine ?? '')?.[1]);
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    const bodyAt = headEnd + 4;
    const hasNoBody = isHead || status < 200 || status === 204 || status === 304;
    const length = hasNoBody ? 0 : Number(headers['content-length'] ?? 0);
    if (!isAll && this.#received.length < bodyAt + length) return null;
    const text = this.#received.subarray(bodyAt, bodyAt + length).toString();
    this.#received = this.#received.subarray(bodyAt + length);
    return { status, headers, text };
  }
}
