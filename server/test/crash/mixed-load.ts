import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiAnswer, ApiClient } from '../harness/api-client.ts';

/** A key that a client of the load has asked for, and all that the client knows of it. */
export interface AskedKey {
  readonly name: string;
  readonly idempotencyKey: string;
  /** Set once a creation was acknowledged. */
  made: { id: string; secret: string } | undefined;
  /** The note in its metadata: the last one acknowledged, and the last one sent. */
  note: { acknowledged: number; sent: number };
  revocation: 'none' | 'sent' | 'acknowledged';
  /** Whether anything was asked of it since it was last compared with what the database has. */
  isTouched: boolean;
}

const thinkMs = 3;

/**
 * Clients that create, change, revoke and verify keys of one issuer, one request at a time each, and that remember
 * what was acknowledged to them. A request without an answer, or with 503, may have been carried out or not; any other
 * failure is kept as unexpected.
 */
export class MixedLoad {
  readonly keys: AskedKey[] = [];
  readonly unexpected: string[] = [];
  acknowledged = 0;
  unanswered = 0;
  readonly #path: string;
  readonly #api: ApiClient;
  #clients: Promise<void>[] = [];
  #isRunning = false;
  /** The longer nobody answers, the longer the pauses: a long outage proves no more than a short one. */
  #unansweredInRow = 0;

  constructor(api: ApiClient, issuerId: string) {
    this.#api = api;
    this.#path = `/v1/issuers/${issuerId}/api-keys`;
  }

  start(clients: number): void {
    this.#isRunning = true;
    this.#clients = Array.from({ length: clients }, () => this.#client());
  }

  /** Resolves once no request is under way any more. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#clients);
  }

  create(key: AskedKey): Promise<ApiAnswer | undefined> {
    return this.#send('POST', this.#path, creationOf(key), { 'Idempotency-Key': key.idempotencyKey });
  }

  /** Every key of the issuer that Postgres has, by name. */
  async readAll(): Promise<Map<string, ApiAnswer['body'][]>> {
    const found = new Map<string, ApiAnswer['body'][]>();
    for await (const item of this.#pages(`${this.#path}?limit=100`)) {
      found.set(item.name, [...(found.get(item.name) ?? []), item]);
    }
    return found;
  }

  /** The keys of this name that Postgres has. */
  async readNamed(name: string): Promise<ApiAnswer['body'][]> {
    const answer = await this.#api.get(`${this.#path}?search=${encodeURIComponent(name)}`);
    if (answer.status !== 200) throw new Error(`it could not be read: ${answer.status} ${answer.text}`);
    return answer.body.data;
  }

  /** How many events of a type each subject has. */
  async countEvents(type: string): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for await (const event of this.#pages(`/v1/events?limit=100&type=${type}`)) {
      counts.set(event.subject.id, (counts.get(event.subject.id) ?? 0) + 1);
    }
    return counts;
  }

  async verify(secret: string): Promise<string | undefined> {
    const answer = await this.#send('POST', '/v1/keys/verify', { key: secret });
    return answer?.body.code;
  }

  async #client(): Promise<void> {
    const own: AskedKey[] = [];
    const pick = () => own.filter((key) => key.made !== undefined)[Math.floor(Math.random() * own.length)];
    while (this.#isRunning) {
      const key = pick();
      const chance = Math.random();
      if (key === undefined || chance < 0.35) own.push(await this.#ask());
      else if (chance < 0.55) await this.#change(key);
      else if (chance < 0.65) await this.#revoke(key);
      else await this.#use(key);
      await sleep(thinkMs);
    }
  }

  async #ask(): Promise<AskedKey> {
    const key: AskedKey = {
      name: `key ${randomUUID()}`,
      idempotencyKey: randomUUID(),
      made: undefined,
      note: { acknowledged: 0, sent: 0 },
      revocation: 'none',
      isTouched: true,
    };
    this.keys.push(key);
    const answer = await this.create(key);
    if (answer !== undefined) key.made = madeBy(answer);
    return key;
  }

  async #change(key: AskedKey): Promise<void> {
    if (key.revocation !== 'none') return;
    key.isTouched = true;
    key.note.sent++;
    const body = { metadata: { note: key.note.sent } };
    const answer = await this.#send('PATCH', `${this.#path}/${key.made!.id}`, body);
    if (answer !== undefined) key.note.acknowledged = key.note.sent;
  }

  async #revoke(key: AskedKey): Promise<void> {
    if (key.revocation === 'acknowledged') return;
    key.isTouched = true;
    key.revocation = 'sent';
    const answer = await this.#send('POST', `${this.#path}/${key.made!.id}/revoke`);
    if (answer !== undefined) key.revocation = 'acknowledged';
  }

  async #use(key: AskedKey): Promise<void> {
    const { revocation } = key;
    const code = await this.verify(key.made!.secret);
    if (code === undefined) return;
    const possible = { none: ['VALID'], sent: ['VALID', 'REVOKED'], acknowledged: ['REVOKED'] }[revocation];
    if (!possible.includes(code)) this.unexpected.push(`a key with revocation ${revocation} was ${code}`);
  }

  /** The answer of a request that was acknowledged; undefined when nobody can know what became of it. */
  async #send(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<ApiAnswer | undefined> {
    const answer = await this.#api
      .request(method, path, { ...(body !== undefined && { body }), ...(headers && { headers }) })
      .catch(() => undefined);
    if (answer === undefined || answer.status === 503 || answer.body?.code === 'idempotency_in_flight') {
      this.unanswered++;
      await sleep(Math.min(1_000, 50 + 10 * ++this.#unansweredInRow));
      return undefined;
    }
    if (answer.status < 200 || answer.status > 299) {
      this.unexpected.push(`${method} ${path} was answered ${answer.status} ${answer.text}`);
      return undefined;
    }
    this.acknowledged++;
    this.#unansweredInRow = 0;
    return answer;
  }

  async *#pages(path: string) {
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await this.#api.get(cursor === '' ? path : `${path}&cursor=${encodeURIComponent(cursor)}`);
      if (page.status !== 200) throw new Error(`GET ${path} answered ${page.status} ${page.text}`);
      yield* page.body.data;
      cursor = page.body.next_cursor;
    }
  }
}

/** What is remembered of a creation that was acknowledged. */
export function madeBy(answer: ApiAnswer): { id: string; secret: string } {
  return { id: answer.body.data.id, secret: answer.body.data.secret_plain };
}

function creationOf(key: AskedKey) {
  return { name: key.name, restrictions: { scopes: ['invoices:read'] }, metadata: { note: 0 } };
}
