import { describe, expect, test } from 'vitest';
import { freePort } from '../../harness/process.ts';
import { send } from '../../harness/raw-http.ts';
import { type GatewayWorld, identityOf, page, unavailableBody } from '../gateway-world.ts';

/** What the API learns of an allowed request, and what the client learns besides the answer of the API. */
export function describeAllowedRequests(world: GatewayWorld): void {
  const { ask, start, of, valuesSeen, identitySeen, namesSeen } = world;

  describe('an allowed request', () => {
    test('reaches the upstream with the identity, without the key, and under the id that Gatelodge knows', async () => {
      const answer = await ask(
        { ...of('acme'), 'X-Request-Id': 'trace-7', 'X-Other': 'kept' },
        '/echo?a=1%2F2',
      );
      expect(answer.status).toBe(200);
      const { method, url } = world.upstream.last();
      expect([method, url]).toEqual(['GET', '/echo?a=1%2F2']);
      const direct = await send(`${world.gatelodge.url}/v1/authorize/${world.issuer.id}`, {
        headers: of('acme'),
      });
      const identity = Object.entries(direct.headers).filter(([name]) => name.startsWith('x-gatelodge-'));
      expect(identity.map(([name]) => name)).toHaveLength(7);
      for (const [name, value] of identity) expect([name, valuesSeen(name)]).toEqual([name, [value]]);
      expect(identitySeen().map(([name]) => name)).toEqual(identity.map(([name]) => name).toSorted());
      expect(valuesSeen('x-request-id')).toEqual(['trace-7']);
      expect(valuesSeen('x-other')).toEqual(['kept']);
      expect(namesSeen()).not.toContain('x-api-key');
    });

    test('is answered with the environment and the request id of Gatelodge, each once', async () => {
      const answer = await ask({ ...of('acme sandbox'), 'X-Request-Id': 'trace-7' });
      expect(answer.headers).toMatchObject({
        'x-environment': 'SANDBOX',
        'x-request-id': 'trace-7',
        'x-upstream': 'yes',
      });
      const names = answer.headerNames.map((name) => name.toLowerCase());
      expect(names.filter((name) => name === 'x-environment' || name === 'x-request-id')).toHaveLength(2);
    });

    test('has nothing in the place of what Gatelodge leaves unsaid', async () => {
      // A placeholder, say, that the gateway had no value for.
      world.standIn.behaviour = { answers: 200, headers: { 'X-Gatelodge-Key-Id': 'key_a' } };
      expect((await ask(of('acme'), '/echo', {}, world.withStandIn)).status).toBe(200);
      expect(identitySeen()).toEqual([['x-gatelodge-key-id', 'key_a']]);
      expect(valuesSeen('x-request-id').join('')).toBe('');
      const empty = { ...identityOf(''), 'X-Gatelodge-Warnings': '', 'X-Request-Id': '' };
      world.standIn.behaviour = { answers: 200, headers: empty };
      expect((await ask(of('acme'), '/echo', {}, world.withStandIn)).status).toBe(200);
      const said = Object.entries(empty).flatMap(([name, value]) =>
        value === '' ? [] : [name.toLowerCase()],
      );
      expect(identitySeen().map(([name]) => name)).toEqual(said.toSorted());
      expect(valuesSeen('x-request-id').join('')).toBe('');
    });

    test('reaches the upstream with all of its scopes, however many', async () => {
      const scopes = Array.from({ length: 100 }, (_, index) => `region-${index}:read-and-write-all`);
      const { secret } = await world.issuer.createKey({ restrictions: { scopes } }, world.tenants.acme.id);
      expect((await ask({ 'x-api-key': secret, 'x-tn': 'tenant_acme' })).status).toBe(200);
      expect(valuesSeen('x-gatelodge-scopes')[0]!.split(' ').toSorted()).toEqual(scopes.toSorted());
    });

    test('has no limit headers where no limit governs it', async () => {
      const { headers } = await ask(of('acme'));
      const limits = Object.keys(headers).filter((name) =>
        /^(x-)?ratelimit|^(deprecation|sunset|retry-after)$/.test(name),
      );
      expect(limits).toEqual([]);
    });

    test('from a page is answered with the CORS headers of the upstream, once', async () => {
      const answer = await ask({ ...of('acme page'), Origin: page }, '/v1/subscriptions');
      expect(answer.status).toBe(200);
      expect(answer.headers['access-control-allow-origin']).toBe(page);
      expect(answer.headerNames.filter((name) => /^access-control-allow-origin$/i.test(name))).toHaveLength(
        1,
      );
    });

    test.each([{ isChunked: false }, { isChunked: true }])(
      'has its body passed through whole, chunked: $isChunked',
      async ({ isChunked }) => {
        const body = 'x'.repeat(1024 * 1024);
        const answer = await ask(of('acme'), '/echo', { method: 'POST', body, isChunked });
        expect(answer.status).toBe(200);
        expect(world.upstream.last()).toMatchObject({ method: 'POST', bodyBytes: body.length });
      },
    );

    test.each([400, 401, 403, 404, 429, 500, 502, 503])(
      'is answered with the upstream’s own %i unchanged',
      async (status) => {
        const answer = await ask(of('acme'), `/status/${status}`);
        expect([answer.status, answer.text]).toEqual([status, `the upstream's own ${status}`]);
        expect(answer.headers['x-upstream']).toBe('yes');
        expect(answer.headers).not.toHaveProperty('retry-after');
      },
    );

    test('while the upstream is away is answered by the gateway, not in Gatelodge’s name', async () => {
      const via = await start({ upstream: `127.0.0.1:${await freePort()}` });
      const answer = await ask(of('acme'), '/echo', {}, via);
      expect([502, 503]).toContain(answer.status);
      expect(answer.text).not.toBe(unavailableBody);
    });
  });
}
