import pg, { type ClientConfig } from 'pg';
import { changeChannel } from './change.ts';

type Ping = { payload: string; onBack: () => void };

/**
 * One connection that listens for changes and pings itself. It fails once and for all: after its first error no
 * notification is passed on and no ping counts.
 */
export class ListeningConnection implements Disposable {
  readonly #client: pg.Client;
  readonly #pingChannel: string;
  readonly #onChange: (payload: string) => void;
  #error: Error | undefined;
  /** Fails what is being waited for just now. */
  #abort: ((error: Error) => void) | undefined;
  #pings = 0;
  #awaited: Ping | undefined;

  constructor(options: { config: ClientConfig; pingChannel: string; onChange: (payload: string) => void }) {
    this.#client = new pg.Client({ ...options.config, query_timeout: 2_000 });
    this.#pingChannel = options.pingChannel;
    this.#onChange = options.onChange;
    this.#client.on('error', (error) => this.#end(error));
    this.#client.on('end', () => this.#end(new Error('Postgres closed the connection.')));
    this.#client.on('notification', (message) => this.#onNotification(message));
  }

  /** Connects; when it resolves, every change committed from now on is announced here. */
  async open(): Promise<void> {
    await this.#unlessEnded(this.#client.connect());
    await this.#unlessEnded(
      this.#client.query(
        // A ping commits a transaction. It has nothing to keep, so it need not wait for the disk.
        `set synchronous_commit = off; set idle_session_timeout = 0;
         listen ${changeChannel}; listen ${pg.escapeIdentifier(this.#pingChannel)}`,
      ),
    );
  }

  /**
   * Sends a ping and waits for it; one at a time.
   *
   * @param onBack called at once when it comes back, after every change that came before it
   * @throws Error when it is not back after `timeoutMs`; the connection is over then
   */
  async ping(timeoutMs: number, onBack: () => void): Promise<void> {
    const payload = String(++this.#pings);
    let isAccepted = false;
    let timer: NodeJS.Timeout | undefined;
    const isBack = new Promise<void>((resolve) => {
      this.#awaited = {
        payload,
        onBack: () => {
          onBack();
          resolve();
        },
      };
      timer = setTimeout(() => this.#end(new Error(explainSilence(isAccepted))), timeoutMs);
    });
    const isSent = this.#client
      .query(`notify ${pg.escapeIdentifier(this.#pingChannel)}, '${payload}'`)
      .then(() => {
        isAccepted = true;
      });
    try {
      await this.#unlessEnded(Promise.all([isSent, isBack]));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Cuts the connection without a goodbye, which a connection that hangs would never finish. */
  [Symbol.dispose](): void {
    this.#end(new Error('The connection for changes was closed.'));
  }

  #onNotification(message: pg.Notification): void {
    if (this.#error !== undefined) return;
    const payload = message.payload ?? '';
    if (message.channel === changeChannel) {
      try {
        this.#onChange(payload);
      } catch (error) {
        this.#end(error instanceof Error ? error : new Error(String(error)));
      }
    } else if (message.channel === this.#pingChannel && payload === this.#awaited?.payload) {
      const { onBack } = this.#awaited;
      this.#awaited = undefined;
      onBack();
    }
  }

  #end(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#client.connection.stream.destroy();
    this.#abort?.(error);
  }

  /** Not by `Promise.race` with one promise of the failure: that one would keep a reaction of every ping for good. */
  async #unlessEnded<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#abort = reject;
      work.then(resolve, reject);
      if (this.#error !== undefined) reject(this.#error);
    });
  }
}

function explainSilence(isAccepted: boolean): string {
  return isAccepted
    ? 'Postgres took a ping and did not notify of it. DATABASE_URL must not lead through a transaction pooler.'
    : 'Postgres did not answer a ping.';
}
