import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

type Cell = string;
/** Answers one statement: nothing for a command, a row for a query. */
export type AnswerStatement = (sql: string) => Record<string, Cell> | undefined;

/**
 * Speaks as much of Postgres' protocol (version 3) as it takes to pass for a server of another version. Every value is
 * sent as text; booleans are told from their names, which begin with `is_`, and `version` is an integer.
 *
 * Protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export class FakePostgres implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Every statement that it was sent, in order. */
  readonly statements: string[] = [];

  static async start(answer: AnswerStatement): Promise<FakePostgres> {
    const fake = new FakePostgres(answer);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  private constructor(answer: AnswerStatement) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      this.#serve(socket, answer);
    });
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `postgres://gatelodge_owner@127.0.0.1:${port}/gatelodge?sslmode=disable`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket, answer: AnswerStatement): void {
    let buffered = Buffer.alloc(0);
    let isStarted = false;
    let prepared = '';
    socket.on('data', (bytes) => {
      buffered = Buffer.concat([buffered, bytes]);
      for (;;) {
        // The startup message is the only one without a letter before its length.
        const lengthAt = isStarted ? 1 : 0;
        if (buffered.length < lengthAt + 4) return;
        const end = lengthAt + buffered.readInt32BE(lengthAt);
        if (buffered.length < end) return;
        const kind = isStarted ? String.fromCharCode(buffered[0]!) : 'startup';
        const body = buffered.subarray(lengthAt + 4, end);
        buffered = buffered.subarray(end);
        isStarted = true;
        if (kind === 'startup') socket.write(Buffer.concat([message('R', int32(0)), ready]));
        else if (kind === 'P') prepared = textAt(body, textAt(body, 0).length + 1);
        else if (kind === 'Q') socket.write(Buffer.concat([this.#run(textAt(body, 0), answer), ready]));
        else if (kind === 'S')
          socket.write(Buffer.concat([message('1'), message('2'), this.#run(prepared, answer), ready]));
        else if (kind === 'X') socket.end();
      }
    });
  }

  #run(sql: string, answer: AnswerStatement): Buffer {
    this.statements.push(sql);
    const row = answer(sql);
    if (row === undefined) {
      return message('C', text('SET'));
    }
    const names = Object.keys(row);
    const columns = names.map((name) =>
      Buffer.concat([text(name), int32(0), int16(0), int32(typeOf(name)), int16(-1), int32(-1), int16(0)]),
    );
    const cells = Object.values(row).map((value) =>
      Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
    );
    return Buffer.concat([
      message('T', int16(names.length), ...columns),
      message('D', int16(names.length), ...cells),
      message('C', text('SELECT 1')),
    ]);
  }
}

function typeOf(column: string): number {
  const oids = { boolean: 16, integer: 23, text: 25 };
  return column.startsWith('is_') ? oids.boolean : column === 'version' ? oids.integer : oids.text;
}

function message(kind: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(kind), int32(body.length + 4), body]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function textAt(bytes: Buffer, at: number): string {
  return bytes.toString('utf8', at, bytes.indexOf(0, at));
}

const ready = message('Z', Buffer.from('I'));
