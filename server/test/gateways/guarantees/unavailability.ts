import { describe, expect, test } from 'vitest';
import { freePort } from '../../harness/process.ts';
import type { Gateway } from '../gateway.ts';
import { type GatewayWorld, identityOf, unavailableBody } from '../gateway-world.ts';
import type { Behaviour } from '../stand-in.ts';

/** Nobody passes while Gatelodge does not decide. */
export function describeUnavailability(world: GatewayWorld): void {
  const { ask, start, of } = world;

  describe('nobody passes, with 503 in the dialect and Retry-After, while Gatelodge', () => {
    async function expectClosed(via: Gateway): Promise<void> {
      const before = world.upstream.seen.length;
      for (const method of ['GET', 'POST']) {
        const body = method === 'POST' ? { body: '{}' } : {};
        const answer = await ask(of('acme'), '/v1/subscriptions', { method, ...body }, via);
        expect([answer.status, answer.text]).toEqual([503, unavailableBody]);
        expect(answer.headers['content-type']).toBe('application/json');
        expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      }
      expect(world.upstream.seen).toHaveLength(before);
    }

    test('is away', async () => {
      await expectClosed(await start({ gatelodge: `127.0.0.1:${await freePort()}` }));
    });

    test.each<[name: string, behaviour: Behaviour]>([
      ['hangs', 'hangs'],
      ['hangs up', 'hangs up'],
      ...[302, 400, 404, 405, 422, 431, 500, 502, 503, 504].map((answers): [string, Behaviour] => [
        `answers ${answers}`,
        { answers, headers: { ...identityOf('org_a'), Location: '/v1/authorize/x' }, body: 'no' },
      ]),
      // Attack: something else has its port, a page for the time of maintenance or another process during a restart,
      // and is content with every request.
      ...[200, 201, 202, 204, 206].map((answers): [string, Behaviour] => [
        `answers ${answers} and no identity`,
        { answers, headers: { 'Content-Type': 'text/html' }, body: answers === 204 ? '' : 'soon' },
      ]),
      ...[201, 204, 206].map((answers): [string, Behaviour] => [
        `answers ${answers} with an identity`,
        { answers, headers: identityOf('org_a') },
      ]),
      ...['', 'anybody', 'x, key_a'].map((id): [string, Behaviour] => [
        `answers 200 with the key id “${id}”`,
        { answers: 200, headers: { ...identityOf('org_a'), 'X-Gatelodge-Key-Id': id } },
      ]),
      ['speaks something else', { writes: 'hello\r\n' }],
      ['breaks off in the status', { writes: 'HTTP/1.1 200' }],
      ['breaks off in the identity', { writes: 'HTTP/1.1 200 OK\r\nX-Gatelodge-Key-Id: key_a\r\nX-Gate' }],
    ])('%s', async (_name, behaviour) => {
      world.standIn.behaviour = behaviour;
      await expectClosed(world.withStandIn);
    });

    test('knows no such issuer', async () => {
      await expectClosed(await start({ issuerId: `${world.issuer.id.slice(0, -4)}zzzz` }));
    });

    test('and passes again once it is back', async () => {
      world.standIn.behaviour = 'hangs up';
      await expectClosed(world.withStandIn);
      world.standIn.behaviour = { answers: 200, headers: identityOf('org_a') };
      expect((await ask(of('acme'), '/echo', {}, world.withStandIn)).status).toBe(200);
    });
  });
}
