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
    const socket = net.connect(round.port, '127.0.0.1');
    socket.setNoDelay(true);
    let received = Buffer.alloc(0);
    let sentAt = 0;
    let count = 0;
    const send = () => {
      sentAt = performance.now();
      socket.write(round.request(index, count++));
    };
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const answer = completeAnswer(received);
      if (answer === null) return;
      const now = performance.now();
      report(now - sentAt, answer.startsWith('HTTP/1.1 200') && answer.includes(round.expects));
      received = Buffer.alloc(0);
      if (now < endsAt) send();
      else socket.end();
    });
  });
}

/** The whole answer as text once its body is complete, by Content-Length. */
function completeAnswer(received: Buffer): string | null {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const text = received.toString('latin1');
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, headEnd))?.[1] ?? 0);
  return received.length >= headEnd + 4 + length ? text : null;
}
