import { access } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { expect, it } from 'vitest';
import { Installation } from '../harness/installation.ts';
import { isRunning } from '../harness/process.ts';
import { isSoak, scaled } from '../harness/scale.ts';

const connections = 32;

type Sent = { method: string; path: string; body?: unknown };
type Outcome = { status: number; ends: boolean } | { refused: true } | { failed: string };

/** One request over the client's one connection, which is kept alive. */
function send(
  agent: Agent,
  url: string,
  authorization: string,
  { method, path, body }: Sent,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request(url + path, {
      method,
      agent,
      headers: {
        Authorization: authorization,
        ...(text !== undefined && {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(text),
        }),
      },
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      // Nobody listens any more: the request was never begun, and a client takes another node.
      const isRefused = error.code === 'ECONNREFUSED' && !outgoing.reusedSocket;
      resolve(isRefused ? { refused: true } : { failed: `${error.code} ${error.message}` });
    });
    outgoing.on('response', (response) => {
      response.on('error', (error) => resolve({ failed: error.message }));
      response.on('end', () =>
        resolve({ status: response.statusCode!, ends: response.headers.connection === 'close' }),
      );
      response.resume();
    });
    outgoing.end(text);
  });
}

it(`SIGTERM fails no request of ${connections} busy connections, and everything ends with code 0 within 10 s`, async () => {
  const drainedMs: number[] = [];
  let answered = 0;
  for (let round = 0; round < scaled(1, 20); round++) {
    await using installation = await Installation.make();
    await installation.start();
    const { api_key, demo } = await installation.bootstrap();
    const authorization = `Basic ${Buffer.from(`${api_key.id}:${api_key.secret}`).toString('base64')}`;
    const kinds: Sent[] = [
      { method: 'POST', path: '/v1/keys/verify', body: { key: demo.api_key.secret } },
      { method: 'GET', path: `/v1/issuers/${demo.issuer_id}` },
      { method: 'POST', path: `/v1/issuers/${demo.issuer_id}/organizations`, body: { name: 'Acme' } },
    ];
    const outcomes: Outcome[] = [];
    const clients = Array.from({ length: connections }, async (_, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let sent = client; ; sent++) {
        const outcome = await send(agent, installation.url, authorization, kinds[sent % kinds.length]!);
        outcomes.push(outcome);
        if ('refused' in outcome || 'failed' in outcome) break;
        // Some clients think for a while, so that their connections are idle when the stop comes.
        if (client % 4 === 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      }
      agent.destroy();
    });
    await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 500));
    const pids = await installation.processIds();
    const stoppedAt = performance.now();
    const ended = await installation.stop();
    drainedMs.push(performance.now() - stoppedAt);
    await Promise.all(clients);

    expect(outcomes.filter((outcome) => 'failed' in outcome)).toEqual([]);
    const statuses = outcomes.flatMap((outcome) => ('status' in outcome ? [outcome.status] : []));
    expect(new Set(statuses)).toEqual(new Set([200, 201]));
    // Each client got to know by its answer, and only then found nobody listening.
    expect(outcomes.filter((outcome) => 'ends' in outcome && outcome.ends)).toHaveLength(connections);
    answered += statuses.length;
    expect(ended.code).toBe(0);
    expect(await Promise.all(Object.values(pids).map(isRunning))).toEqual([false, false, false]);
    await expect(access(installation.socketDirectory)).rejects.toMatchObject({ code: 'ENOENT' });
  }
  expect(Math.max(...drainedMs)).toBeLessThanOrEqual(10_000);
  if (isSoak) {
    console.log(
      `SOAK stop under load: ${drainedMs.length} stops, ${answered} requests answered, 0 failed, ` +
        `slowest stop ${Math.round(Math.max(...drainedMs))} ms`,
    );
  }
});
