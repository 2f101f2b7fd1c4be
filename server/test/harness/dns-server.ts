import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

export interface DnsQuestion {
  /** In lower case, without the last dot. */
  name: string;
  type: 'A' | 'AAAA' | 'other';
  /** How often this name was asked for with this type before. */
  before: number;
}

/** Addresses of the family asked for and aliases on the way to them; `null` never answers, `refused` does so with SERVFAIL. */
export type DnsAnswer = { aliases?: string[]; addresses: string[] } | 'refused' | null;

const typeNumbers = { A: 1, CNAME: 5, AAAA: 28 } as const;

/**
 * A DNS server on a free UDP port of 127.0.0.1 that answers as a test says. What it is not told of does not exist.
 *
 * Message format: RFC 1035 section 4.
 */
export class DnsServer implements AsyncDisposable {
  readonly #socket: Socket;
  readonly questions: DnsQuestion[] = [];
  readonly #answers = new Map<string, (question: DnsQuestion) => DnsAnswer>();

  static async start(): Promise<DnsServer> {
    const server = new DnsServer(createSocket('udp4'));
    server.#socket.bind(0, '127.0.0.1');
    await once(server.#socket, 'listening');
    return server;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (message, peer) => {
      const answer = this.#answer(message);
      if (answer !== null) socket.send(answer, peer.port, peer.address);
    });
  }

  /** As resolvers take it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** Gives a name its addresses of both families, or an answer that depends on the question. */
  set(name: string, answer: readonly string[] | ((question: DnsQuestion) => DnsAnswer)): void {
    this.#answers.set(name, typeof answer === 'function' ? answer : () => ({ addresses: [...answer] }));
  }

  /** How often a name was asked for. */
  asked(name: string, type: 'A' | 'AAAA'): number {
    return this.questions.filter((question) => question.name === name && question.type === type).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #answer(message: Buffer): Buffer | null {
    const { name, end } = readName(message, 12);
    const number = message.readUInt16BE(end);
    const type = number === typeNumbers.A ? 'A' : number === typeNumbers.AAAA ? 'AAAA' : 'other';
    const question = { name, type, before: type === 'other' ? 0 : this.asked(name, type) } as const;
    this.questions.push(question);
    const answer = this.#answers.get(name)?.(question);
    if (answer === null) return null;
    const records = answer === undefined || answer === 'refused' ? [] : recordsOf(name, type, answer);
    const code = answer === 'refused' ? 2 : answer === undefined ? 3 : 0;
    const header = Buffer.alloc(12);
    message.copy(header, 0, 0, 2);
    // A response, recursion desired and available.
    header.writeUInt16BE(0x81_80 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([header, message.subarray(12, end + 4), ...records]);
  }
}

function recordsOf(
  name: string,
  type: DnsQuestion['type'],
  { aliases = [], addresses }: Exclude<DnsAnswer, 'refused' | null>,
): Buffer[] {
  const names = [name, ...aliases];
  const ofFamily = addresses.filter((address) => type === (isIPv4(address) ? 'A' : 'AAAA'));
  return [
    ...aliases.map((alias, index) => record(names[index] ?? '', typeNumbers.CNAME, writeName(alias))),
    ...ofFamily.map((address) =>
      isIPv4(address)
        ? record(names.at(-1) ?? '', typeNumbers.A, Buffer.from(address.split('.').map(Number)))
        : record(names.at(-1) ?? '', typeNumbers.AAAA, Buffer.from(ipaddr.IPv6.parse(address).toByteArray())),
    ),
  ];
}

function record(name: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  // No time to live: whoever asks again asks us.
  fixed.writeUInt32BE(0, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([writeName(name), fixed, data]);
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function writeName(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1'));
  return Buffer.concat([...labels, Buffer.from([0])]);
}
