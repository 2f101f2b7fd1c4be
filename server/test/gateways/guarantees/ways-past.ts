import { describe, expect, test } from 'vitest';
import { exchange } from '../../harness/raw-http.ts';
import { type GatewayWorld, page, type RequestHeaders } from '../gateway-world.ts';

/** Requests made so that a gateway and what stands behind it read them differently. */
export function describeWaysPast(world: GatewayWorld): void {
  const { ask, of, bothAnswers, valuesSeen, connectionSeen, namesSeen } = world;

  describe('no way past the check:', () => {
    test.each([
      '/',
      '//echo',
      '/echo/../echo',
      '/%2e%2e/echo',
      '/echo%2F..%2Fecho',
      '/%2Fecho',
      '/echo;x=1',
      '/echo%00',
      '/_gatelodge',
      '/.well-known/x',
      '/v1/authorize/x',
      '/error/503',
      '*',
    ])('path %s', async (path) => {
      const before = world.upstream.seen.length;
      const { host } = new URL(world.gateway.url);
      for (const version of ['1.1', '1.0']) {
        for (const method of ['GET', 'POST', 'HEAD', 'DELETE', 'OPTIONS', 'PROPFIND']) {
          const text = await exchange(
            world.gateway.url,
            `${method} ${path} HTTP/${version}\r\nHost: ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
          );
          expect([method, version, text.slice(9, 12)]).toEqual([
            method,
            version,
            // Of the server as a whole (OPTIONS *, RFC 9110 §9.3.7) some speak themselves.
            expect.stringMatching(
              path === '*' && method === 'OPTIONS'
                ? /200|400|401|403|404|405|501/
                : /400|401|403|404|405|501/,
            ),
          ]);
        }
      }
      expect(world.upstream.seen).toHaveLength(before);
    });

    test('the whole URL in the request line, or a Host that is another', async () => {
      const before = world.upstream.seen.length;
      const { host } = new URL(world.gateway.url);
      for (const line of [
        `http://${host}/echo`,
        'http://other.example/echo',
        `http://${world.upstream.address}/echo`,
      ]) {
        for (const name of [host, 'other.example', world.upstream.address]) {
          const text = await exchange(
            world.gateway.url,
            `GET ${line} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`,
          );
          expect(text.slice(9, 12)).toMatch(/400|401|403|404|421/);
        }
      }
      expect(world.upstream.seen).toHaveLength(before);
      const tunnel = await exchange(
        world.gateway.url,
        `CONNECT ${world.upstream.address} HTTP/1.1\r\nHost: ${world.upstream.address}\r\nConnection: close\r\n\r\n`,
      );
      expect(tunnel.slice(9, 12)).toMatch(/400|401|403|404|405|501/);
    });

    test('a key in the whole URL of the request line is found as well', async () => {
      const { host } = new URL(world.gateway.url);
      const text = await exchange(
        world.gateway.url,
        `GET http://${host}/echo?api_key=sk_live_x HTTP/1.1\r\nHost: ${host}\r\nx-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\nConnection: close\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toBe('401');
    });

    test('a pipelined request without a key behind one that has it', async () => {
      const { host } = new URL(world.gateway.url);
      const key = `x-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n`;
      const text = await exchange(
        world.gateway.url,
        `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${key}\r\n` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n\r\n` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${key}Connection: close\r\n\r\n`,
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200']);
    });

    test('a connection turned into a tunnel by a request that may pass', async () => {
      // Attack: the API agrees to go on in HTTP/2, and the gateway then passes on bytes that it no longer reads.
      const { host } = new URL(world.gateway.url);
      const may = {
        GET: `x-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n`,
        OPTIONS: `Origin: ${page}\r\nAccess-Control-Request-Method: GET\r\n`,
      };
      for (const [method, headers] of Object.entries(may)) {
        for (const protocol of [
          'h2c',
          'H2C',
          'websocket, h2c',
          'h2c, websocket',
          'h2c\r\nUpgrade: websocket',
          'tls/1.0',
        ]) {
          const text = await exchange(
            world.gateway.url,
            `${method} /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: ${protocol}\r\n` +
              'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n',
          );
          // HAProxy finds that no WebSocket begins like this.
          expect([method, protocol, text.slice(9, 12)]).toEqual([
            method,
            protocol,
            expect.stringMatching(protocol.includes('websocket') ? /200|400/ : /200/),
          ]);
          expect(namesSeen()).not.toContain('upgrade');
        }
      }
    });

    test('a WebSocket that a preflight opens, or any other method than GET', async () => {
      // Attack: a preflight passes unchecked, and an API that looks at Upgrade only, as most WebSocket libraries do,
      // agrees: what follows goes through both, and no key has been seen.
      const { host } = new URL(world.gateway.url);
      const before = world.upstream.seen.length;
      const preflight = `Origin: ${page}\r\nAccess-Control-Request-Method: GET\r\n`;
      const may = {
        OPTIONS: preflight,
        POST: `Content-Length: 0\r\nx-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n`,
      };
      const opening = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
      const offers = ['websocket', 'WebSocket', 'websocket, websocket', 'websocket\r\nUpgrade: websocket'];
      let passed = 0;
      for (const [method, headers] of Object.entries(may)) {
        for (const offer of offers) {
          for (const connection of ['Upgrade', 'keep-alive, Upgrade', 'close\r\nConnection: upgrade']) {
            const text = await exchange(
              world.gateway.url,
              `${method} /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: ${offer}\r\n` +
                // The last one ends the connection where the first has not become a tunnel.
                `Connection: ${connection}\r\n${opening}\r\n` +
                `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
            );
            expect([method, offer, connection, text.slice(9, 12)]).toEqual([
              method,
              offer,
              connection,
              expect.stringMatching(/200|400/),
            ]);
            if (text.slice(9, 12) === '200') passed += 1;
          }
        }
      }
      expect(world.upstream.seen).toHaveLength(before + passed);
      for (const { headers } of world.upstream.seen.slice(before)) {
        expect(headers.filter(([name]) => name === 'upgrade')).toEqual([]);
      }
    });

    test('a WebSocket without a key, while one with a key may pass', async () => {
      const { host } = new URL(world.gateway.url);
      const open = (headers: string) =>
        exchange(
          world.gateway.url,
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: websocket\r\nConnection: Upgrade, close\r\n` +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
        );
      const before = world.upstream.seen.length;
      expect((await open('')).slice(9, 12)).toBe('401');
      expect(world.upstream.seen).toHaveLength(before);
      const passed = await open(`x-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n`);
      expect(passed.slice(9, 12)).toBe(world.kind.passesWebSockets === true ? '101' : '200');
      expect(connectionSeen()).toEqual(
        world.kind.passesWebSockets === true ? ['upgrade'] : expect.anything(),
      );
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([world.tenants.acme.id]);
    });

    test.each<[string, RequestHeaders]>([
      ['If-None-Match', { 'If-None-Match': '*' }],
      ['If-Modified-Since', { 'If-Modified-Since': 'Sat, 21 Nov 2099 12:00:00 GMT' }],
      ['Range', { Range: 'bytes=0-0' }],
      ['Expect', { Expect: '100-continue' }],
      ['Accept-Encoding', { 'Accept-Encoding': 'gzip, br' }],
      ['Authorization: Basic', { Authorization: 'Basic YTpi' }],
    ])('%s, which changes how a server answers', async (_name, headers) => {
      const before = world.upstream.seen.length;
      const { direct, answer } = await bothAnswers({ ...headers, 'x-tn': 'tenant_acme' });
      expect(answer.status).toBe(401);
      expect(answer.text).toBe(direct.text);
      expect(world.upstream.seen).toHaveLength(before);
      expect((await ask({ ...headers, ...of('acme') })).status).toBe(200);
    });

    test('HTTP/1.0 with a key passes as it should', async () => {
      const text = await exchange(
        world.gateway.url,
        `GET /echo HTTP/1.0\r\nHost: x\r\nx-api-key: ${world.keys.acme}\r\nx-tn: tenant_acme\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toBe('200');
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([world.tenants.acme.id]);
    });
  });
}
