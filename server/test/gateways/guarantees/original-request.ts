import { describe, expect, test } from 'vitest';
import { type GatewayWorld, identityOf, page, type RequestHeaders } from '../gateway-world.ts';

/** What Gatelodge is told of the request that a gateway holds. */
export function describeOriginalRequest(world: GatewayWorld): void {
  const { ask, of, valuesSeen, connectionSeen } = world;

  describe('the address and path of the original request', () => {
    test('reach Gatelodge with the headers it decides by, and without the body', async () => {
      world.standIn.behaviour = { answers: 200, headers: identityOf('org_a') };
      const headers = {
        'x-api-key': 'k',
        'x-tn': 't',
        origin: page,
        'sec-fetch-site': 'cross-site',
        'x-request-id': 'trace-7',
      };
      const query = '/echo?a=1&scope=x:y';
      for (const isChunked of [false, true]) {
        const request = { method: 'POST', body: 'x'.repeat(100_000), isChunked };
        expect((await ask(headers, query, request, world.withStandIn)).status).toBe(200);
        expect(world.standIn.lastAsked).toMatchObject({
          method: 'GET',
          url: `/v1/authorize/${world.issuer.id}${world.kind.asksForNginx === true ? '?status=nginx' : ''}`,
          headers: {
            ...headers,
            'x-forwarded-method': 'POST',
            'x-forwarded-proto': 'http',
            'x-forwarded-host': new URL(world.withStandIn.url).host,
            'x-forwarded-uri': query,
            'x-forwarded-for': '127.0.0.1',
          },
          bodyBytes: 0,
        });
        expect(world.standIn.lastAsked.headers['content-length'] ?? '0').toBe('0');
        expect(world.standIn.lastAsked.headers).not.toHaveProperty('transfer-encoding');
      }
    });

    test('are the gateway’s word: what a client says of them is overwritten', async () => {
      // Attack: a client forges the address that the key is restricted to.
      const forged: RequestHeaders = {
        'X-Forwarded-For': '192.0.2.7',
        'X-Forwarded-Host': 'forged.example',
        'X-Forwarded-Proto': 'forged',
        'X-Forwarded-Method': 'FORGED',
        'X-Forwarded-Uri': '/forged',
        'X-Real-IP': '192.0.2.7',
        Forwarded: 'for=192.0.2.7',
      };
      const answer = await ask({ ...of('acme from elsewhere'), ...forged });
      expect([answer.status, answer.body.error?.code]).toEqual([403, 'ip_not_allowed']);
      await ask({ ...of('acme'), ...forged });
      expect(JSON.stringify(world.upstream.last().headers)).not.toMatch(/forged|192\.0\.2\.7/i);
      expect(valuesSeen('x-forwarded-for')).toEqual(['127.0.0.1']);
    });

    test('are not stripped on the client’s demand', async () => {
      // Attack: Connection names headers that a proxy then takes for its own hop, and drops (RFC 9110 §7.6.1).
      const named = [
        'X-Gatelodge-Organization-Id',
        'X-Gatelodge-Key-Id',
        'X-Forwarded-For',
        'X-Forwarded-Uri',
        'X-TN',
      ];
      const demand = { Connection: `close, ${named.join(', ')}` };
      const demands = [demand, { Connection: named.join(', ') }, { Connection: ['close', ...named] }];
      for (const { Connection } of demands) {
        expect((await ask({ ...of('acme'), Connection })).status).toBe(200);
        expect(valuesSeen('x-gatelodge-organization-id')).toEqual([world.tenants.acme.id]);
        expect(valuesSeen('x-forwarded-for')).toEqual(['127.0.0.1']);
        // Nor by a proxy that stands before the API.
        expect(connectionSeen().filter((token) => token !== 'close' && token !== 'keep-alive')).toEqual([]);
      }
      const preflight = { Origin: page, 'Access-Control-Request-Method': 'GET', ...demand };
      expect((await ask(preflight, '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(connectionSeen().filter((token) => token !== 'close' && token !== 'keep-alive')).toEqual([]);
      const inAddress = await ask({ ...of('acme'), ...demand }, '/echo?api_key=sk_live_x');
      expect(inAddress.status).toBe(401);
    });
  });
}
