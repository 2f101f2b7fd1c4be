import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { testCertificate } from '../../test/harness/certificate.ts';
import { Drain } from './drain.ts';
import { openFastLane } from './fast-lane.ts';

let server: Server;
let drain: Drain;
const sockets: Socket[] = [];

async function listen(isTls: boolean, listener: RequestListener): Promise<void> {
  server = isTls ? createTlsServer(testCertificate, listener) : createServer(listener);
  drain = new Drain(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

/** A connection, and everything that has come over it so far. */
async function open(isTls: boolean) {
  const { port } = server.address() as AddressInfo;
  const socket = isTls
    ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    : connect(port, '127.0.0.1');
  sockets.push(socket);
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  // A connection that is cut off hard is as good an end as any.
  socket.on('error', () => {});
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, isTls ? 'secureConnect' : 'connect');
  const receives = (text: string) => expect.poll(() => received, { timeout: 10_000 }).toContain(text);
  return { socket, ended, receives, received: () => received };
}

const get = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

describe.each([
  ['http', false],
  ['https', true],
])('a server that stops (%s)', (_name, isTls) => {
  it('still answers what comes over a connection that was idle, and ends it with that answer', async () => {
    await listen(isTls, (_request, response) => void response.end('answer'));
    const client = await open(isTls);
    client.socket.write(get);
    await client.receives('answer');
    expect(client.received()).toContain('Connection: keep-alive');
    const stopping = drain.run({ lingerMs: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    client.socket.write(get.replace('/ ', '/second '));
    await client.receives('Connection: close');
    await client.ended;
    expect(client.received().match(/answer/g)).toHaveLength(2);
    expect(await stopping).toBe(0);
  });

  it('gives the answer that is under way, saying that the connection ends', async () => {
    let answer: () => void = () => {};
    await listen(isTls, (_request, response) => {
      answer = () => response.end('late answer');
    });
    const client = await open(isTls);
    client.socket.write(get);
    await expect.poll(() => answer.toString()).toContain('late answer');
    const stopping = drain.run({ lingerMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    answer();
    expect(await stopping).toBe(0);
    await client.ended;
    expect(client.received()).toContain('late answer');
    expect(client.received()).toContain('Connection: close');
  });

  it('takes no new connection', async () => {
    await listen(isTls, (_request, response) => void response.end());
    const { port } = server.address() as AddressInfo;
    await open(isTls);
    const stopping = drain.run({ lingerMs: 100 });
    const late = connect(port, '127.0.0.1');
    sockets.push(late);
    const [error] = await once(late, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(await stopping).toBe(0);
  });

  // Browsers open connections in advance; Node's own close would wait for them without end.
  it('does not wait for a connection over which nothing has come', async () => {
    await listen(isTls, (_request, response) => void response.end());
    const client = await open(isTls);
    expect(await drain.run({ lingerMs: 50 })).toBe(0);
    await client.ended;
  });

  it('waits for a request that is still coming in', async () => {
    await listen(isTls, async (request, response) => {
      let bytes = 0;
      for await (const chunk of request) bytes += (chunk as Buffer).length;
      response.end(`${bytes} bytes`);
    });
    const client = await open(isTls);
    client.socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc');
    await new Promise((resolve) => setTimeout(resolve, 60));
    const stopping = drain.run({ lingerMs: 50 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.socket.write('def');
    await client.receives('6 bytes');
    expect(await stopping).toBe(0);
  });

  it('cuts off what does not end by itself, and says how much that was', async () => {
    await listen(isTls, () => {});
    const never = await open(isTls);
    never.socket.write(get);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await drain.run({ lingerMs: 20, cutOffMs: 150 })).toBe(1);
    await never.ended;
  });
});

async function listenWithFastLane(body: string): Promise<void> {
  await listen(false, (_request, response) => void response.end(body));
  openFastLane(server, {
    answer: async () => ({ status: 200, body }),
    isStopping: () => drain.isStopping,
    keepAliveMs: 65_000,
    onError: () => {},
  });
}

it('a server that stops waits for the rest of a request in the fast lane', async () => {
  await listenWithFastLane('answer');
  const client = await open(false);
  client.socket.write('POST /v1/keys/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{');
  await new Promise((resolve) => setTimeout(resolve, 60));
  const stopping = drain.run({ lingerMs: 50 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  client.socket.write('}');
  await client.receives('answer');
  expect(client.received()).toContain('Connection: close');
  expect(await stopping).toBe(0);
});

it('a server that stops waits for a slow reader of the fast lane’s answer', async () => {
  const body = 'x'.repeat(16 * 1024 * 1024);
  await listenWithFastLane(body);
  const client = await open(false);
  client.socket.pause();
  client.socket.write('GET /v1/authorize/i_x HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await expect.poll(() => new Promise((resolve) => server.getConnections((_, n) => resolve(n)))).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 60));
  const stopping = drain.run({ lingerMs: 20, cutOffMs: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  client.socket.resume();
  expect(await stopping).toBe(0);
  await client.ended;
  expect(client.received().length).toBeGreaterThan(body.length);
});

it('a server with TLS cuts off a connection that never gets to speak TLS', async () => {
  await listen(true, () => {});
  const { port } = server.address() as AddressInfo;
  const silent = connect(port, '127.0.0.1');
  sockets.push(silent);
  await once(silent, 'connect');
  await expect.poll(() => new Promise((resolve) => server.getConnections((_, n) => resolve(n)))).toBe(1);
  expect(await drain.run({ lingerMs: 20, cutOffMs: 150 })).toBe(1);
});
