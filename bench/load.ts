import net from 'node:net';

/** One round of load on one server. */
export interface RoundResult {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Answers that were not 200, or not the bytes that were expected. Must be 0, or the round says nothing. */
  wrong: number;
}

export interface Round {
  port: number;
  connections: number;
  seconds: number;
  /** Makes the raw HTTP/1.1 request that connection `index` sends as its `count`-th. */
  request(index: number, count: number): Buffer;
  /** What the body of every answer has to contain. */
  expects: string;
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
  return { requestsPerSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), wrong };
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
    let pending = '';
    let sentAt = 0;
    let count = 0;
    const send = () => {
      sentAt = performance.now();
      socket.write(round.request(index, count++));
    };
    const onData = (bytes: number) => {
      const text = pending + buffer.toString('latin1', 0, bytes);
      if (!isComplete(text)) {
        pending = text;
        return true;
      }
      pending = '';
      const now = performance.now();
      report(now - sentAt, text.startsWith('HTTP/1.1 200') && text.includes(round.expects));
      if (now < endsAt) send();
      else socket.end();
      return true;
    };
    const socket = net.connect({
      port: round.port,
      host: '127.0.0.1',
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
