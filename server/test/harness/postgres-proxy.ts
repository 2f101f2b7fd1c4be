import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Link = { client: Socket; server: Socket; startup?: string; heldBack?: Buffer };

/**
 * Stands between the code under test and Postgres and does what networks do: cuts connections, or lets them hang
 * with nothing coming through either way (half-open).
 */
export class PostgresProxy {
  readonly #directory: string;
  readonly #target: string;
  readonly #links = new Set<Link>();
  #listener: Server;
  #isFrozen = false;
  #isDeaf = false;
  #cutAfter: string | undefined;
  #swallowed: { text: string; done: () => void } | undefined;
  #holdBack: string | undefined;
  #refused: string | undefined;

  /** Starts one before the Postgres of this URL (of its Unix socket). */
  static async start(url: string): Promise<PostgresProxy> {
    const socketDirectory = new URLSearchParams(url.split('?')[1]).get('host');
    if (socketDirectory === null) throw new Error('The URL names no Unix socket.');
    const proxy = new PostgresProxy(
      await mkdtemp(join(tmpdir(), 'gatelodge-proxy-')),
      join(socketDirectory, '.s.PGSQL.5432'),
    );
    await proxy.open();
    return proxy;
  }

  private constructor(directory: string, target: string) {
    this.#directory = directory;
    this.#target = target;
    this.#listener = createServer();
  }

  /** The same URL, by way of this proxy. */
  url(url: string): string {
    const [base, query] = url.split('?');
    const parameters = new URLSearchParams(query);
    parameters.set('host', this.#directory);
    return `${base}?${parameters.toString().replaceAll('%2F', '/')}`;
  }

  /** How many connections it holds. */
  get connections(): number {
    return this.#links.size;
  }

  /** Accepts connections again after `refuse`. */
  async open(): Promise<void> {
    this.#listener = createServer({ pauseOnConnect: true }, (client) => this.#accept(client));
    await new Promise<void>((resolve) => {
      this.#listener.listen(join(this.#directory, '.s.PGSQL.5432'), resolve);
    });
  }

  /** Cuts every connection. New ones are let through. */
  cut(): void {
    for (const link of this.#links) {
      link.client.destroy();
      link.server.destroy();
    }
  }

  /** Cuts every connection and refuses new ones. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#listener.close(resolve));
    this.cut();
    await closed;
  }

  /** Cuts the connections of this application_name and refuses new ones of it, until `thaw`. */
  refuseOnly(application: string): void {
    this.#refused = application;
    for (const link of this.#links) if (isOf(link, application)) link.client.destroy();
  }

  /** Lets the present connections (all, or those of one application_name) hang for good; new ones are let through. */
  freezePresent(application?: string): void {
    for (const link of this.#links) {
      if (application !== undefined && !isOf(link, application)) continue;
      link.client.pause();
      link.server.pause();
    }
  }

  /** Lets the present connections and all new ones hang, until `thaw`. */
  freeze(): void {
    this.#isFrozen = true;
    this.freezePresent();
  }

  /** Lets everything that hangs go on. */
  thaw(): void {
    this.#isFrozen = false;
    this.#isDeaf = false;
    this.#holdBack = undefined;
    this.#refused = undefined;
    for (const link of this.#links) {
      if (link.heldBack !== undefined) link.client.write(link.heldBack);
      delete link.heldBack;
      link.client.resume();
      link.server.resume();
    }
  }

  /** Goes on delivering what is sent to Postgres, but nothing that Postgres answers, until `thaw`. */
  dropAnswers(): void {
    this.#isDeaf = true;
    for (const { server } of this.#links) server.pause();
  }

  /** From now on keeps every answer that contains `text`, and whatever follows it on that connection, until `thaw`. */
  holdBack(text: string): void {
    this.#holdBack = text;
  }

  /** Delivers the next message that contains `text` to Postgres, waits until it has answered, and cuts. */
  cutAfter(text: string): void {
    this.#cutAfter = text;
  }

  /**
   * Loses the next message that contains `text` and all that follows it on that connection, and cuts the sender off;
   * Postgres goes on waiting for it, until `cut`. Resolves once that has happened.
   */
  swallow(text: string): Promise<void> {
    return new Promise((done) => {
      this.#swallowed = { text, done };
    });
  }

  async close(): Promise<void> {
    if (this.#listener.listening) await this.refuse();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #accept(client: Socket): void {
    const link: Link = { client, server: connect(this.#target) };
    this.#links.add(link);
    for (const socket of [link.client, link.server]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#links.delete(link);
        link.client.destroy();
        link.server.destroy();
      });
    }
    link.client.on('data', (bytes) => {
      link.startup ??= bytes.toString('latin1');
      if (this.#refused !== undefined && isOf(link, this.#refused)) {
        link.client.destroy();
        return;
      }
      if (this.#swallowed !== undefined && bytes.includes(this.#swallowed.text)) {
        this.#swallowed.done();
        this.#swallowed = undefined;
        client.removeAllListeners('close');
        client.destroy();
        return;
      }
      link.server.write(bytes);
      if (this.#cutAfter !== undefined && bytes.includes(this.#cutAfter)) {
        this.#cutAfter = undefined;
        link.server.removeAllListeners('data');
        link.server.once('data', () => link.client.destroy());
      }
    });
    link.server.on('data', (bytes) => {
      if (this.#holdBack !== undefined && bytes.includes(this.#holdBack)) {
        link.heldBack = bytes;
        link.server.pause();
      } else {
        link.client.write(bytes);
      }
    });
    if (this.#isFrozen) {
      link.client.pause();
      link.server.pause();
    } else {
      link.client.resume();
      if (this.#isDeaf) link.server.pause();
    }
  }
}

/** The startup message names the application, each name and value ended by a zero byte. */
function isOf(link: Link, application: string): boolean {
  return link.startup?.includes(`application_name\0${application}\0`) === true;
}
