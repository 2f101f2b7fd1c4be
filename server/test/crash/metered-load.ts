import { randomUUID } from 'node:crypto';
import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One way of asking about one key, and what may come of it. */
export interface Case {
  readonly keyId: string;
  /** Of the key in the management API. */
  readonly keyPath: string;
  /** Of the verify call, but for its request_id. */
  readonly body: Record<string, unknown>;
  readonly codes: readonly string[];
  readonly cost: number;
  /** The limits, by their names, that a VALID one takes from. */
  readonly limits: readonly string[];
}

/** A limit as an answer tells of it. */
export interface ToldLimit {
  name: string;
  limit: number;
  remaining: number;
  reset: number | null;
}

interface Asked {
  readonly of: Case;
  readonly requestId: string;
}

interface Answer {
  code: string;
  limits: ToldLimit[];
}

const thinkMs = 2;
/** Before the same client asks again where nobody listens, or after no answer. */
const pauseMs = 150;

/**
 * Clients that verify keys, one request at a time each and every request under an id of its own, and that count by
 * themselves what was answered. A request that was cut off, or answered 503, may count or not; it is kept, to be asked
 * again under the same id. Anything else that is not a decision is kept as unexpected.
 */
export class MeteredLoad {
  /** Answers so far: by key, then by code. */
  readonly acknowledged = new Map<string, Map<string, number>>();
  /** Of answered VALID requests, by the name of each limit: what they cost together. */
  readonly used = new Map<string, number>();
  /** The same of limits whose windows pass, by name and reset, as far as the answer was to the first asking. */
  readonly usedOfWindow = new Map<string, { limit: number; used: number }>();
  readonly unexpected: string[] = [];
  unanswered: Asked[] = [];
  answered = 0;
  readonly #url: string;
  readonly #authorization: string;
  readonly #cases: readonly Case[];
  #agent = newAgent();
  #clients: Promise<void>[] = [];
  #isRunning = false;

  constructor(url: string, caller: { id: string; secret: string }, cases: readonly Case[]) {
    this.#url = `${url}/v1/keys/verify`;
    this.#authorization = `Basic ${Buffer.from(`${caller.id}:${caller.secret}`).toString('base64')}`;
    this.#cases = cases;
  }

  start(clients: number): void {
    this.#isRunning = true;
    this.#clients = Array.from({ length: clients }, () => this.#client());
  }

  /** Resolves once no request is under way any more. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#clients);
    this.#agent.destroy();
    this.#agent = newAgent();
  }

  /** Asks again, under their ids, for all that was not answered, until it is. */
  async retryUnanswered(): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (this.unanswered.length > 0) {
      if (performance.now() > deadline) throw new Error(`${this.unanswered.length} are not answered`);
      const again = this.unanswered;
      this.unanswered = [];
      const worker = async () => {
        for (let asked = again.pop(); asked !== undefined; asked = again.pop()) await this.#ask(asked, true);
      };
      await Promise.all(Array.from({ length: 8 }, worker));
    }
  }

  /** How the limits of a case stand, by a question that takes nothing. */
  async limitsOf({ body }: Case): Promise<ToldLimit[]> {
    const { status, text } = await this.#send({ ...body, explain: true });
    if (status !== 200) throw new Error(`it was answered ${status} ${text}`);
    return (JSON.parse(text) as Answer).limits;
  }

  /** How many answers there were of a code. */
  countOf(code: string): number {
    return [...this.acknowledged.values()].reduce((total, codes) => total + (codes.get(code) ?? 0), 0);
  }

  async #client(): Promise<void> {
    while (this.#isRunning) {
      const of = this.#cases[Math.floor(Math.random() * this.#cases.length)]!;
      const isAnswered = await this.#ask({ of, requestId: randomUUID() }, false);
      await sleep(isAnswered ? thinkMs : pauseMs);
    }
  }

  /** @returns whether there was a decision */
  async #ask(asked: Asked, isRetry: boolean): Promise<boolean> {
    for (;;) {
      try {
        const { status, text } = await this.#send({ ...asked.of.body, request_id: asked.requestId });
        if (status === 200) this.#count(asked, JSON.parse(text) as Answer, isRetry);
        else if (status === 503) this.unanswered.push(asked);
        else this.unexpected.push(`${status} ${text}`);
        return status === 200;
      } catch (error) {
        // Where nobody listens nothing was asked.
        if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') {
          this.unanswered.push(asked);
          return false;
        }
        if (!this.#isRunning && !isRetry) return false;
        await sleep(pauseMs);
      }
    }
  }

  #count({ of }: Asked, { code, limits }: Answer, isRetry: boolean): void {
    this.answered++;
    if (!of.codes.includes(code)) this.unexpected.push(`${of.codes.join(' or ')} was ${code}`);
    const counts = this.acknowledged.get(of.keyId) ?? new Map<string, number>();
    this.acknowledged.set(of.keyId, counts.set(code, (counts.get(code) ?? 0) + 1));
    if (code !== 'VALID') return;
    for (const name of of.limits) this.used.set(name, (this.used.get(name) ?? 0) + of.cost);
    if (isRetry) return;
    for (const { name, limit, reset } of limits) {
      const window = `${name} until ${reset}`;
      const used = this.usedOfWindow.get(window)?.used ?? 0;
      this.usedOfWindow.set(window, { limit, used: used + of.cost });
    }
  }

  #send(body: Record<string, unknown>): Promise<{ status: number; text: string }> {
    const text = JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(this.#url, {
        method: 'POST',
        agent: this.#agent,
        headers: {
          Authorization: this.#authorization,
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(text),
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      });
      outgoing.end(text);
    });
  }
}

/** Each client has its own connection; there are as many as clients. */
function newAgent(): Agent {
  return new Agent({ keepAlive: true });
}
