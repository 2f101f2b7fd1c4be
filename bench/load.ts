import net from 'node:net';

/** One round of load on one server. */
export interface RoundResult {
  requests: number;
  seconds: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Answers of another status, or not with the text that was expected. Must be 0, or the round says nothing. */
  wrong: number;
}

/** What every answer has to be. */
export interface Expected {
  status: number;
  /** Somewhere in head or body. */
  text: string;
}

export interface Round {
  port: number;
  connections: number;
  /** When connections stop asking. */
  seconds: number;
  /** Makes the raw HTTP/1.1 request that connection `index` sends as its `count`-th; null when there are no more. */
  request(index: number, count: number): Buffer | null;
  expected: Expected;
  /** The address of the loopback network that it comes from; 127.0.0.1 where none is named. */
  from?: string;
}

/**
 * Keeps `connections` connections busy, one request each at a time, on bare sockets: an HTTP client library costs more
 * than the server that it is meant to measure.
 */
export async function runRound(round: Round): Promise<RoundResult> {
  const latencies: number[] = [];
  let wrong = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + round.seconds * 1000;
  await Promise.all(
    Array.from({ length: round.connections }, (_, index) =>
      keepBusy(round, index, endsAt, (latency, isRight) => {
        latencies.push(latency);
        if (!isRight) wrong++;
      }),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  const requests = latencies.length;
  return { requests, seconds, requestsPerSecond: requests / seconds, p50Ms: at(0.5), p99Ms: at(0.99), wrong };
}

/** Sends each of these requests once, and fails unless every answer is as expected. */
export async function sendEach(
  port: number,
  requests: readonly Buffer[],
  expected: Expected,
  { connections = 16, from = '127.0.0.1' } = {},
): Promise<RoundResult> {
  let sent = 0;
  const result = await runRound({
    port,
    connections,
    seconds: Number.POSITIVE_INFINITY,
    request: () => requests[sent++] ?? null,
    expected,
    from,
  });
  if (result.wrong > 0) throw new Error(`${result.wrong} of ${result.requests} answers were wrong`);
  return result;
}

function keepBusy(
  round: Round,
  index: number,
  endsAt: number,
  report: (latencyMs: number, isRight: boolean) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // One buffer for the life of the connection: a fresh one for each read would make the client the slower side.
    const buffer = Buffer.allocUnsafe(16 * 1024);
    const statusLine = `HTTP/1.1 ${round.expected.status}`;
    let pending = '';
    let sentAt = 0;
    let count = 0;
    const send = () => {
      const request = round.request(index, count++);
      if (request === null) {
        socket.end();
        return;
      }
      sentAt = performance.now();
      socket.write(request);
    };
    const onData = (bytes: number) => {
      const text = pending + buffer.toString('latin1', 0, bytes);
      if (!isComplete(text)) {
        pending = text;
        return true;
      }
      pending = '';
      const now = performance.now();
      report(now - sentAt, text.startsWith(statusLine) && text.includes(round.expected.text));
      if (now < endsAt) send();
      else socket.end();
      return true;
    };
    const socket = net.connect({
      port: round.port,
      host: '127.0.0.1',
      localAddress: round.from,
      noDelay: true,
      onread: { buffer, callback: onData },
    });
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => resolve());
  });
}

/** Whether an answer's body is all there, by its Content-Length. */
function isComplete(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return false;
  const named = text.indexOf('ontent-Length: ');
  const length =
    named === -1 || named > headEnd ? 0 : Number.parseInt(text.slice(named + 15, named + 24), 10);
  return text.length >= headEnd + 4 + length;
}
