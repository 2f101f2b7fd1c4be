import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

/**
 * A mail server (RFC 5321, as little of it as a client needs) that takes a mail for whomever, but for recipients at
 * `slow.example`: of those it says nothing until the connection ends.
 */
export class SlowMailServer implements AsyncDisposable {
  readonly port: number;
  /** Recipients of mails that it has taken. */
  readonly delivered: string[] = [];
  /** Recipients that it has been told of and says nothing about. */
  readonly pending: string[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<Socket>();

  static async start(): Promise<SlowMailServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SlowMailServer(server);
  }

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server.on('connection', (socket: Socket) => this.#talk(socket));
    this.port = (server.address() as AddressInfo).port;
  }

  get env(): Record<string, string> {
    return { SMTP_URL: `smtp://127.0.0.1:${this.port}`, MAIL_FROM: 'no-reply@gatelodge.test' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #talk(socket: Socket): void {
    let received = '';
    let recipient = '';
    let isData = false;
    const line = (text: string): string | null => {
      if (isData) {
        if (text !== '.') return null;
        isData = false;
        this.delivered.push(recipient);
        return '250 taken';
      }
      if (/^DATA/i.test(text)) {
        isData = true;
        return '354 go on';
      }
      recipient = /^RCPT TO:<(.*)>/i.exec(text)?.[1] ?? recipient;
      if (/^RCPT/i.test(text) && recipient.endsWith('@slow.example')) {
        this.pending.push(recipient);
        return null;
      }
      return /^QUIT/i.test(text) ? '221 bye' : '250 yes';
    };
    this.#sockets.add(socket);
    socket
      .on('error', () => {})
      .on('close', () => this.#sockets.delete(socket))
      .on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
        const lines = received.split('\r\n');
        received = lines.pop() ?? '';
        for (const each of lines) {
          const reply = line(each);
          if (reply !== null) socket.write(`${reply}\r\n`);
        }
      })
      .write('220 slow\r\n');
  }
}
