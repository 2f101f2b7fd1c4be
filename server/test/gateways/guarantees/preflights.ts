import { describe, expect, test } from 'vitest';
import { exchange } from '../../harness/raw-http.ts';
import { type GatewayWorld, page, type RequestHeaders } from '../gateway-world.ts';

/** OPTIONS: real preflights pass without a check, and nothing else does. */
export function describePreflights(world: GatewayWorld): void {
  const { ask, of, valuesSeen, namesSeen } = world;

  describe('OPTIONS', () => {
    const preflight = { Origin: page, 'Access-Control-Request-Method': 'POST' };

    test('as a real preflight goes to the upstream without a check and without an identity', async () => {
      const answer = await ask(preflight, '/v1/subscriptions', { method: 'OPTIONS' });
      expect(answer.status).toBe(204);
      expect(answer.headers['access-control-allow-origin']).toBe(page);
      expect(answer.headers['access-control-allow-methods']).toBe('GET, POST');
      expect(
        namesSeen().filter((name) => name.includes('gatelodge') && valuesSeen(name).join('') !== ''),
      ).toEqual([]);
    });

    test('as a real preflight with a key has no identity either, and the key stays here', async () => {
      await ask({ ...preflight, ...of('acme') }, '/echo', { method: 'OPTIONS' });
      expect(
        namesSeen().filter((name) => name.includes('gatelodge') && valuesSeen(name).join('') !== ''),
      ).toEqual([]);
      expect(namesSeen()).not.toContain('x-api-key');
    });

    test('as a real preflight needs no Gatelodge', async () => {
      world.standIn.behaviour = 'hangs up';
      expect(
        (await ask(preflight, '/v1/subscriptions', { method: 'OPTIONS' }, world.withStandIn)).status,
      ).toBe(204);
    });

    test.each<[string, RequestHeaders, string]>([
      ['OPTIONS with nothing', {}, 'OPTIONS'],
      ['OPTIONS without an Origin', { 'Access-Control-Request-Method': 'POST' }, 'OPTIONS'],
      ['OPTIONS without Access-Control-Request-Method', { Origin: page }, 'OPTIONS'],
      ['GET with a preflight’s headers', preflight, 'GET'],
      ['POST with a preflight’s headers', preflight, 'POST'],
      ['options in lower case', preflight, 'options'],
      [
        'a method that the client says to override',
        { ...preflight, 'X-HTTP-Method-Override': 'OPTIONS' },
        'GET',
      ],
    ])('is checked where it is none: %s', async (_name, headers, method) => {
      const before = world.upstream.seen.length;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
      const text = await exchange(
        world.gateway.url,
        `${method} /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${lines.join('')}Connection: close\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toMatch(/400|401|405|501/);
      expect(world.upstream.seen).toHaveLength(before);
    });

    test('that is checked passes with a key', async () => {
      expect((await ask(of('acme'), '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(world.upstream.last().method).toBe('OPTIONS');
    });
  });
}
