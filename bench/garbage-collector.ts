import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './processes.ts';

/**
 * Has another Node process collect all garbage, so that what its memory holds can be compared. Node opens its inspector on
 * SIGUSR1; nothing is asked of the program itself.
 */
export class GarbageCollector {
  readonly #port: number;
  #socket: WebSocket | undefined;
  #calls = 0;

  static async reserve(): Promise<GarbageCollector> {
    return new GarbageCollector(await freePort());
  }

  private constructor(port: number) {
    this.#port = port;
  }

  /** Environment of the process, so that its inspector will listen where it is looked for. */
  get env(): NodeJS.ProcessEnv {
    return { NODE_OPTIONS: `--inspect-port=127.0.0.1:${this.#port}` };
  }

  async collect(pid: number): Promise<void> {
    this.#socket ??= await this.#open(pid);
    // The second collection takes what the first one's finalizers let go.
    await this.#call(this.#socket, 'HeapProfiler.collectGarbage');
    await this.#call(this.#socket, 'HeapProfiler.collectGarbage');
    // Pages that are free now go back to the system a little later.
    await sleep(1_000);
  }

  /** Before the process is to end: it waits for whoever inspects it. */
  close(): void {
    this.#socket?.close();
  }

  async #open(pid: number): Promise<WebSocket> {
    process.kill(pid, 'SIGUSR1');
    const socket = new WebSocket(await this.#inspectorUrl());
    await once(socket, 'open');
    return socket;
  }

  /** Nothing else is asked, and nothing is subscribed to, so the next message is the answer. */
  async #call(socket: WebSocket, method: string): Promise<void> {
    const answer = once(socket, 'message');
    socket.send(JSON.stringify({ id: ++this.#calls, method }));
    await answer;
  }

  async #inspectorUrl(): Promise<string> {
    for (let attempt = 0; attempt < 50; attempt++) {
      const answer = await fetch(`http://127.0.0.1:${this.#port}/json/list`).catch(() => null);
      if (answer?.ok) {
        const [target] = (await answer.json()) as { webSocketDebuggerUrl: string }[];
        return target!.webSocketDebuggerUrl;
      }
      await sleep(100);
    }
    throw new Error('the inspector did not open');
  }
}
