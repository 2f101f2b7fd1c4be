import { once } from 'node:events';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { type Customer, createCustomer, withScopes } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:30:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

/** The requests of this test are metered as well, on the day of its clock: what it looks at was over before them. */
const yesterday = new Date('2026-11-20T12:00:00Z');
const before = 'to=2026-11-21T00:00:00Z';

/** The cells of an export whose texts have no commas in them. */
async function exportOf(as: ApiClient, query = '') {
  const answer = succeeded(await as.get(`/v1/usage/export.csv?${before}&${query}`));
  const [header, ...lines] = answer.text.split('\r\n').slice(0, -1);
  const columns = header!.split(',');
  const records = lines.map((line) =>
    Object.fromEntries(line.split(',').map((cell, at): [string, string] => [columns[at]!, cell])),
  );
  return { answer, columns, records };
}

describe('200', () => {
  test('has a line of names and a line for each bucket, as a file to be saved', async () => {
    const { id: accountId, key, api } = await createCustomer(server);
    const decided = { accountId, keyId: key.id, at: yesterday };
    await meter(rows, [
      { ...decided, count: 6, cost: 12 },
      { ...decided, count: 2, code: 'RATE_LIMITED' },
      { ...decided, count: 5, isManagement: true },
      { ...decided, at: new Date('2026-11-19T00:00:00Z') },
    ]);
    const { answer, columns, records } = await exportOf(api);
    expect(answer.headers.get('Content-Type')).toBe('text/csv; charset=utf-8');
    expect(answer.headers.get('Content-Disposition')).toBe(
      'attachment; filename="usage-2026-10-22-2026-11-20.csv"',
    );
    expect(answer.headers.get('Cache-Control')).toBe('no-store');
    expect(columns.slice(0, 10)).toEqual([
      ...['start', 'total', 'valid', 'refused', 'errors', 'error_rate', 'cost', 'management'],
      ...['reported', 'latency_ms'],
    ]);
    expect(records).toMatchObject([
      {
        ...{ start: '2026-11-20T00:00:00.000Z', total: '8', valid: '6', refused: '2', error_rate: '0.25' },
        ...{ cost: '12', management: '5', latency_ms: '', RATE_LIMITED: '2', EXPIRED: '0' },
      },
      { start: '2026-11-19T00:00:00.000Z', total: '1', refused: '0', error_rate: '0' },
    ]);
  });

  test('names what people have given names, so that nothing of them is a formula', async () => {
    const { id: accountId, api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const { id: organizationId } = await issuer.createOrganization({
      name: '=HYPERLINK("x")',
      external_id: 'tenant',
    });
    const key = await issuer.createKey({ name: '-2+3' }, organizationId);
    await meter(rows, [{ accountId, issuerId: issuer.id, organizationId, keyId: key.id, at: yesterday }]);
    const [byKey] = (await exportOf(api, 'group_by=key')).records;
    expect(byKey).toMatchObject({ key_id: key.id, key_name: "'-2+3" });
    const [ofOrganization] = (await exportOf(api, 'group_by=organization')).records;
    expect(ofOrganization).toMatchObject({
      organization_id: organizationId,
      organization_name: `"'=HYPERLINK(""x"")"`,
      organization_external_id: 'tenant',
    });
    expect((await exportOf(api, 'group_by=issuer')).records[0]).toMatchObject({
      issuer_id: issuer.id,
      issuer_name: 'Acme API',
    });
    expect((await exportOf(api, 'group_by=code')).records[0]).toMatchObject({ code: 'VALID' });
    succeeded(await api.delete(key.path));
    expect((await exportOf(api, 'group_by=key')).records[0]).toMatchObject({ key_id: key.id, key_name: '' });
  });

  test('without any usage it is the line of names', async () => {
    const { api } = await createCustomer(server);
    expect((await exportOf(api)).records).toEqual([]);
  });

  test('HEAD has the headers', async () => {
    const { api } = await createCustomer(server);
    const answer = await api.request('HEAD', '/v1/usage/export.csv');
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect(answer.headers.get('Content-Type')).toBe('text/csv; charset=utf-8');
  });

  test('shows what the list shows, to each caller its own', async () => {
    const { id: accountId, api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const tenants: string[] = [];
    for (let count = 0; count < 2; count++) {
      const { id } = await issuer.createOrganization();
      const { id: keyId } = await issuer.createKey({}, id);
      await meter(rows, [{ accountId, issuerId: issuer.id, organizationId: id, keyId, at: yesterday }]);
      tenants.push(id);
    }
    const scopes = ['gatelodge.usage:read'];
    const caller = await withScopes(api, scopes, `${issuer.path}/organizations/${tenants[0]}/api-keys`);
    const other = await createCustomer(server);
    for (const [as, expected] of [
      [api, tenants.toReversed()],
      [caller, [tenants[0]]],
      [other.api, []],
    ] as const) {
      const { records } = await exportOf(as, 'group_by=organization');
      expect(records.map(({ organization_id }) => organization_id)).toEqual(expected);
      const list = succeeded(await as.get(`/v1/usage?group_by=organization&${before}`)).body.data;
      expect(records.map(({ total }) => Number(total))).toEqual(
        list.map(({ total }: { total: number }) => total),
      );
    }
  });
});

describe('however long it is', () => {
  const keys = scaled(60_000, 300_000);
  let customer: Customer;
  beforeAll(async () => {
    customer = await createCustomer(server);
    await rows.query(
      `insert into usage_buckets (account_id, level, subject_id, grain, start_at, environment, code, count, cost)
       select $1, 'key', 'key_' || lpad(n::text, 25, '0'), 'day', '2026-11-20T00:00:00Z', 'live', 'VALID', n, n
         from generate_series(1, $2::int) as n`,
      [customer.id, keys],
    );
    await rows.query('analyze usage_buckets');
  });

  /** Asks for it and reads nothing of it yet. */
  async function begin(as = customer): Promise<{ request: ClientRequest; answer: IncomingMessage }> {
    const { id, secret } = as.key;
    const request = get(`${server.url}/v1/usage/export.csv?group_by=key&${before}`, {
      auth: `${id}:${secret}`,
      agent: false,
    });
    request.on('error', () => {});
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    return { request, answer };
  }

  /** How many statements have run once no more of them come. */
  async function settled(): Promise<number> {
    for (let known = -1; ; ) {
      const count = server.statements.length;
      if (count === known) return count;
      known = count;
      await sleep(300);
    }
  }
  /** Of a page: begin, confirm, find, add up, names, commit. */
  const statementsOfAll = (keys / 500) * 6;

  test('it is read to its end, each bucket once', async () => {
    const { answer } = await begin();
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    const lines = Buffer.concat(chunks).toString().split('\r\n').slice(1, -1);
    expect(lines).toHaveLength(keys);
    const ids = lines.map((line) => line.split(',')[1]!);
    expect(ids).toEqual(ids.toSorted().reverse());
    expect(new Set(ids).size).toBe(keys);
  });

  // Attack: ask for much and read nothing, so that the server reads it all into its memory, or holds connections for it.
  test('nothing is read ahead for a client that does not take it, and no connection is held', async () => {
    const before = await settled();
    const { request, answer } = await begin();
    const stopped = (await settled()) - before;
    expect(stopped).toBeLessThan(statementsOfAll * 0.9);
    const { pool } = server.running.services;
    expect(pool.idleCount).toBe(pool.totalCount);
    answer.resume();
    await once(answer, 'end');
    expect((await settled()) - before).toBeGreaterThan(stopped);
    request.destroy();
  });

  test('it stops when the client goes', async () => {
    const before = await settled();
    const { request } = await begin();
    request.destroy();
    expect((await settled()) - before).toBeLessThan(statementsOfAll * 0.9);
    expect(server.logLines.filter((line) => line.includes('broke off'))).toEqual([]);
  });

  // Attack: a key that was stolen begins an export, and goes on with it after it was revoked.
  test('it breaks off when the caller is revoked meanwhile', async () => {
    const { api } = customer;
    const thief = await createKey(api, '/v1/api-keys', {
      restrictions: { scopes: ['gatelodge.usage:read'] },
    });
    const { answer } = await begin({ ...customer, key: thief });
    await settled();
    succeeded(await api.post(`${thief.path}/revoke`));
    let length = 0;
    const reading = (async () => {
      for await (const chunk of answer) length += (chunk as Buffer).length;
    })();
    await expect(reading).rejects.toThrow('aborted');
    expect(length).toBeGreaterThan(0);
    const told = server.logLines.filter((line) => line.includes('an answer broke off'));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('revoked_key');
  });
});

test('403: without the permission', async () => {
  const { api } = await createCustomer(server);
  const answer = await (await withScopes(api, ['gatelodge.events:read'])).get('/v1/usage/export.csv');
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
});

test.each(['limit=1', 'cursor=x', 'interval=minute', 'from=2027-01-01T00:00:00Z', 'group_by=name'])(
  '422: for %s',
  async (query) => {
    const answer = await server.operator.api.get(`/v1/usage/export.csv?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
  },
);
