import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send } from '../harness/raw-http.ts';
import { startUpstream, type Upstream } from './upstream.ts';

let upstream: Upstream;
let organizations = 0;

beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(() => upstream.close());

type Headers = Record<string, string | string[]>;

/** A tenant that has nothing yet. */
function newTenant(environment = 'live'): Record<string, string> {
  return {
    'X-Gatelodge-Key-Id': 'key_1',
    'X-Gatelodge-Organization-Id': `org_${++organizations}`,
    'X-Gatelodge-Environment': environment,
  };
}

const ask = (headers: Headers, path = '/v1/subscriptions', body?: string) =>
  send(`http://${upstream.address}${path}`, {
    headers,
    method: body === undefined ? 'GET' : 'POST',
    ...(body !== undefined && { body }),
  });

describe('examples/tenant-api', () => {
  test('pages through what a tenant has, newest first, each once', async () => {
    const tenant = newTenant();
    const created: string[] = [];
    for (let seats = 1; seats <= 5; seats++) {
      const { status, body } = await ask(
        tenant,
        '/v1/subscriptions',
        JSON.stringify({ plan: 'team', seats }),
      );
      expect(status).toBe(201);
      created.unshift(body.data.id);
    }
    const listed: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await ask(tenant, `/v1/subscriptions?limit=2${query}`);
      listed.push(...(body.data as { id: string }[]).map(({ id }) => id));
      cursor = body.next_cursor;
      expect(body.has_more).toBe(cursor !== null);
    }
    expect(listed).toEqual(created);
  });

  test('refuses who did not come through the gateway', async () => {
    // Attack: a request that reaches the port past the gateway, or through one that passes headers on twice.
    const whole = newTenant();
    const incomplete: Headers[] = [
      {},
      ...Object.keys(whole).map((left) =>
        Object.fromEntries(Object.entries(whole).filter(([name]) => name !== left)),
      ),
      { ...whole, 'X-Gatelodge-Organization-Id': ['org_1', 'org_2'] },
      { ...whole, 'X-Gatelodge-Environment': 'LIVE' },
      { ...whole, 'X-Gatelodge-Key-Id': '' },
    ];
    for (const headers of incomplete) expect((await ask(headers)).status).toBe(401);
  });

  test('refuses a key of the whole issuer that names no tenant', async () => {
    const { status, body } = await ask({ ...newTenant(), 'X-Gatelodge-Organization-Id': '' });
    expect([status, body.error.code]).toEqual([403, 'tenant_required']);
  });

  test('answers another tenant’s subscription like one that does not exist', async () => {
    const [owner, other] = [newTenant(), newTenant()];
    const { body } = await ask(owner, '/v1/subscriptions', '{"plan":"team"}');
    const sandbox = { ...owner, 'X-Gatelodge-Environment': 'sandbox' };
    for (const headers of [other, sandbox]) {
      const foreign = await ask(headers, `/v1/subscriptions/${body.data.id}`);
      const unknown = await ask(headers, '/v1/subscriptions/sub_unknown');
      expect([foreign.status, foreign.text]).toEqual([404, unknown.text]);
      const page = await ask(headers, `/v1/subscriptions?cursor=${body.data.id}`);
      expect(page.status).toBe(422);
    }
    expect((await ask(owner, `/v1/subscriptions/${body.data.id}`)).status).toBe(200);
  });

  test.each([
    ['no JSON', '{', 400],
    ['a list', '[]', 422],
    ['null', 'null', 422],
    ['no plan', '{}', 422],
    ['a plan that is none', '{"plan":"free"}', 422],
    ['seats that are none', '{"plan":"team","seats":0}', 422],
    ['an owner', '{"plan":"team","organization_id":"org_1"}', 422],
    ['more than it takes', `"${'x'.repeat(300_000)}"`, 413],
  ])('refuses a body that is %s', async (_name, body, status) => {
    expect((await ask(newTenant(), '/v1/subscriptions', body)).status).toBe(status);
  });

  test.each(['/', '/v1', '/v1/others', '/v1/subscriptions/a/b', '/v2/subscriptions'])(
    'has no %s',
    async (path) => {
      expect((await ask(newTenant(), path)).status).toBe(404);
    },
  );

  test.each(['0', '101', 'x', '1.5', '-1'])('refuses pages of %s', async (limit) => {
    expect((await ask(newTenant(), `/v1/subscriptions?limit=${limit}`)).status).toBe(422);
  });
});
