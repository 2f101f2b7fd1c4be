import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCertificate } from '../../test/harness/certificate.ts';
import { exchange, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';

let server: TestServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-tls-'));
  const files = {
    GATELODGE_TLS_CERT: join(directory, 'cert.pem'),
    GATELODGE_TLS_KEY: join(directory, 'key.pem'),
  };
  await writeFile(files.GATELODGE_TLS_CERT, testCertificate.cert);
  await writeFile(files.GATELODGE_TLS_KEY, testCertificate.key, { mode: 0o600 });
  server = await startTestServer({ env: { ...files, GATELODGE_PUBLIC_URL: 'https://localhost:4600' } });
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true });
});

describe('a server with a certificate of its own', () => {
  test('answers HTTPS', async () => {
    expect(server.url).toMatch(/^https:/);
    const { id, secret } = server.demo.key;
    const me = await send(`${server.url}/v1/me`, { headers: { 'X-API-Key': secret } });
    expect([me.status, me.body.data.id]).toEqual([200, id]);
    const refused = await send(`${server.url}/v1/authorize/${server.demo.issuerId}`);
    expect(refused.body).toMatchObject({
      type: 'https://localhost:4600/docs/errors/missing_key',
      status: 401,
    });
    const list = await send(`${server.url}/v1/issuers`, {
      headers: { Authorization: `Bearer ${server.operator.key.secret}` },
    });
    expect(list.status).toBe(200);
  });

  test('answers one request after the other on a connection, quick ones and others', async () => {
    const { secret } = server.demo.key;
    const socket = connect({
      port: Number(new URL(server.url).port),
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    const statuses: string[] = [];
    for (const path of ['/v1/authorize/ISSUER', '/v1/authorize/ISSUER', '/v1/me', '/v1/authorize/ISSUER']) {
      const target = path.replace('ISSUER', server.demo.issuerId);
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${secret}\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      statuses.push(answer.toString('latin1', 0, 15));
    }
    expect(statuses).toEqual(statuses.map(() => 'HTTP/1.1 200 OK'));
    socket.destroy();
  });

  test('tells plain HTTP nothing, and goes on', async () => {
    const answer = await exchange(
      server.url.replace('https:', 'http:'),
      `GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${server.demo.key.secret}\r\n\r\n`,
    ).catch(() => '');
    expect(answer).not.toMatch(/HTTP\/1\.1 200|key_/);
    expect((await send(`${server.url}/healthz`)).status).toBe(200);
  });

  test('answers what it can’t parse as any other server does', async () => {
    const answer = await send(`${server.url}/v1/me`, { headers: { 'X-Big': 'x'.repeat(20_000) } });
    expect([answer.status, answer.body.code]).toEqual([431, 'headers_too_large']);
  });
});
