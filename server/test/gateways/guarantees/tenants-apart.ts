import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { send } from '../../harness/raw-http.ts';
import type { GatewayWorld, RequestHeaders } from '../gateway-world.ts';

/** Tenants and environments never mix, neither in the API behind a gateway nor on its connections. */
export function describeTenantsApart(world: GatewayWorld): void {
  const { ask, of } = world;

  describe('the API behind it', () => {
    test('keeps tenants and environments apart', async () => {
      const create = async (headers: RequestHeaders, seats: number) => {
        const body = JSON.stringify({ plan: 'team', seats });
        const answer = await ask({ ...headers, 'Content-Type': 'application/json' }, '/v1/subscriptions', {
          method: 'POST',
          body,
        });
        expect(answer.status).toBe(201);
        return answer.body.data.id as string;
      };
      const list = async (headers: RequestHeaders) => {
        const { body } = await ask(headers, '/v1/subscriptions');
        return (body.data as { id: string }[]).map(({ id }) => id);
      };
      const owners = [of('acme'), of('acme sandbox'), of('globex', 'tenant_globex')];
      const ids: string[] = [];
      for (const [index, owner] of owners.entries()) ids.push(await create(owner, index + 1));
      for (const [index, owner] of owners.entries()) {
        expect(await list(owner)).toEqual([ids[index]]);
        for (const id of ids) {
          const { status } = await ask(owner, `/v1/subscriptions/${id}`);
          expect([id === ids[index], status]).toEqual([id === ids[index], id === ids[index] ? 200 : 404]);
        }
      }
    });

    test('refuses who comes past the gateway', async () => {
      const answer = await send(`http://${world.upstream.address}/v1/subscriptions`, { headers: of('acme') });
      expect(answer.status).toBe(401);
    });
  });

  test('connections that carry one tenant’s request after another’s never mix them', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const askAs = (headers: RequestHeaders) =>
      new Promise<{ status: number; organization: string }>((resolve, reject) => {
        const outgoing = httpRequest(`${world.gateway.url}/echo`, { agent, headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const seen = response.statusCode === 200 ? (JSON.parse(text).headers as [string, string][]) : [];
            const organizations = seen.filter(([name]) => name === 'x-gatelodge-organization-id');
            resolve({
              status: response.statusCode ?? 0,
              organization: String(organizations.map(([, id]) => id)),
            });
          });
        });
        outgoing.on('error', reject);
        outgoing.end();
      });
    // On a busy machine a check may take too long, and then nobody passes: that is no mixture, so it is asked again.
    const askUntilDecided = async (headers: RequestHeaders) => {
      for (let attempt = 1; ; attempt++) {
        const got = await askAs(headers);
        if (got.status !== 503 || attempt === 20) return got;
        await sleep(100);
      }
    };
    const kinds = [
      { headers: of('acme'), expected: { status: 200, organization: world.tenants.acme.id } },
      {
        headers: of('globex', 'tenant_globex'),
        expected: { status: 200, organization: world.tenants.globex.id },
      },
      { headers: { 'x-tn': 'tenant_acme' }, expected: { status: 401, organization: '' } },
    ];
    try {
      for (let round = 0; round < 20; round++) {
        const asked = Array.from({ length: 50 }, (_, index) => kinds[(index + round) % kinds.length]!);
        const got = await Promise.all(asked.map(({ headers }) => askUntilDecided(headers)));
        expect(got).toEqual(asked.map(({ expected }) => expected));
      }
    } finally {
      agent.destroy();
    }
  });
}
