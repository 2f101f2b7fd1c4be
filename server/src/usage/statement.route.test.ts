import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { type Decided, meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

// Rows are made by Postgres' own clock; what is asked about is the month in which it stands.
const clock = new TestClock(new Date().toISOString());
const thisMonth = new Date().toISOString().slice(0, 7);
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const operator = server.operator;

interface Line {
  customer: { type: string; id: string; name: string | null };
  plan: string | null;
  environment: string;
  included: number | null;
  used: number;
  overage: number;
  complete: boolean;
}

/** The whole statement, read by pages of that size. */
async function statementOf(as: ApiClient, query = '', month = thisMonth, limit = 100): Promise<Line[]> {
  const lines: Line[] = [];
  for (let cursor = ''; lines.length < 1_000; ) {
    const answer = await as.get(`/v1/statements/${month}?limit=${limit}${query}${cursor}`);
    const { body } = succeeded(answer);
    lines.push(...body.data);
    if (!body.has_more) return lines;
    cursor = `&cursor=${body.next_cursor}`;
  }
  throw new Error('the statement has no end');
}
const inShort = (lines: Line[]) =>
  lines.map(({ customer, environment, used, overage }) => [customer.id, environment, used, overage]);

describe('200: of an account', () => {
  test('tells what its plan includes, what it used and what is beyond', async () => {
    succeeded(await operator.api.post('/v1/plans', { name: 'bigger', included: { live: 100, sandbox: 5 } }));
    const { id, key, api } = await createCustomer(server, { name: 'Acme', plan: 'bigger' });
    const decided: Decided = { accountId: id, keyId: key.id, at: clock.now() };
    await meter(rows, [
      { ...decided, count: 60, cost: 120 },
      { ...decided, count: 7, code: 'RATE_LIMITED' },
      { ...decided, count: 8, isManagement: true },
      { ...decided, count: 3, environment: 'sandbox' },
      { ...decided, count: 1_000, at: new Date(Date.parse(`${thisMonth}-01T00:00:00Z`) - 1) },
    ]);
    const customer = { type: 'account', id, name: 'Acme' };
    expect(await statementOf(api)).toEqual([
      {
        ...{ customer, plan: 'bigger', environment: 'live', included: 100 },
        ...{ used: 120, overage: 20, complete: false },
      },
      {
        ...{ customer, plan: 'bigger', environment: 'sandbox', included: 5 },
        ...{ used: 3, overage: 0, complete: false },
      },
    ]);
    expect(inShort(await statementOf(api, '&environment=live'))).toEqual([[id, 'live', 120, 20]]);
    const earlier = new Date(Date.parse(`${thisMonth}-01T00:00:00Z`) - 1).toISOString().slice(0, 7);
    const [before] = await statementOf(api, '', earlier);
    expect(before).toMatchObject({ used: 1_000, overage: 900, complete: true });
  });

  test('without a plan, or with one that includes everything, nothing is beyond', async () => {
    const { id, key, api } = await createCustomer(server, { plan: 'default' });
    await meter(rows, [{ accountId: id, keyId: key.id, at: clock.now(), count: 1_000 }]);
    expect((await statementOf(api))[0]).toMatchObject({ included: null, used: 1_000, overage: 0 });
    await rows.query('update accounts set plan = null where id = $1', [id]);
    expect((await statementOf(api))[0]).toMatchObject({ plan: null, included: null, overage: 0 });
  });

  test('a sandbox key sees what was used in sandbox', async () => {
    const { api, id } = await createCustomer(server);
    const caller = await withScopes(api, ['gatelodge.usage:read'], '/v1/api-keys', {
      environment: 'sandbox',
    });
    expect(inShort(await statementOf(caller))).toEqual([[id, 'sandbox', 0, 0]]);
    expect(await statementOf(caller, '&environment=live')).toEqual([]);
  });
});

describe('200: of organizations', () => {
  let account: Awaited<ReturnType<typeof createCustomer>>;
  let issuer: TestIssuer;
  const organizations: string[] = [];
  beforeAll(async () => {
    account = await createCustomer(server);
    const { api, id: accountId } = account;
    issuer = await TestIssuer.create(server, {}, {}, api);
    succeeded(await api.post('/v1/plans', { name: 'small', included: { live: 10, sandbox: null } }));
    for (let count = 0; count < 5; count++)
      organizations.push((await issuer.createOrganization({ name: `o${count}`, plan: 'small' })).id);
    const decided = (organizationId: string, count: number): Decided => ({
      ...{ accountId, issuerId: issuer.id, organizationId, count, at: clock.now() },
      keyId: newId(idPrefixes.apiKey),
    });
    await meter(rows, [decided(organizations[0]!, 15), decided(organizations[3]!, 4)]);
  });

  test('their own come first, then the organizations, the newest first', async () => {
    const [o0, o1, o2, o3, o4] = organizations as [string, string, string, string, string];
    const lines = await statementOf(account.api, '&customers=organizations&environment=live');
    expect(inShort(lines)).toEqual([
      [account.id, 'live', 19, 0],
      [o4, 'live', 0, 0],
      [o3, 'live', 4, 0],
      [o2, 'live', 0, 0],
      [o1, 'live', 0, 0],
      [o0, 'live', 15, 5],
    ]);
    expect(lines.at(-1)).toMatchObject({
      customer: { type: 'organization', id: o0, name: 'o0' },
      ...{ plan: 'small', included: 10 },
    });
  });

  test('one that was deleted since is told, if it used something', async () => {
    const [used, unused] = [organizations[0]!, organizations[1]!];
    for (const id of [used, unused])
      succeeded(await account.api.delete(`${issuer.path}/organizations/${id}`));
    const lines = await statementOf(account.api, '&customers=organizations&environment=live');
    expect(lines.at(-1)).toEqual({
      customer: { type: 'organization', id: used, name: null },
      ...{ plan: null, environment: 'live', included: null, used: 15, overage: 0, complete: false },
    });
    expect(lines.map(({ customer }) => customer.id)).not.toContain(unused);
  });

  test('page by page as at once', async () => {
    const whole = await statementOf(account.api, '&customers=organizations');
    expect(whole.length).toBe(10);
    for (const limit of [1, 2, 3, 7])
      expect(await statementOf(account.api, '&customers=organizations', thisMonth, limit)).toEqual(whole);
  });

  test('of a month before there were any there is the account’s own line alone', async () => {
    const lines = await statementOf(account.api, '&customers=organizations', '2001-01');
    expect(inShort(lines)).toEqual([
      [account.id, 'live', 0, 0],
      [account.id, 'sandbox', 0, 0],
    ]);
  });
});

describe('200: of all accounts, for the operator', () => {
  test('its own line comes first, then theirs, the newest first, totals and nothing else', async () => {
    const [first, second] = [await createCustomer(server), await createCustomer(server, { name: 'Second' })];
    await meter(rows, [
      { accountId: first.id, keyId: first.key.id, at: clock.now(), count: 2 },
      { accountId: second.id, keyId: second.key.id, at: clock.now(), count: 3, environment: 'sandbox' },
    ]);
    const lines = await statementOf(operator.api, '&customers=accounts');
    expect(inShort(lines).slice(0, 6)).toEqual([
      [operator.accountId, 'live', expect.any(Number), 0],
      [operator.accountId, 'sandbox', expect.any(Number), 0],
      [second.id, 'live', 0, 0],
      [second.id, 'sandbox', 3, 0],
      [first.id, 'live', 2, 0],
      [first.id, 'sandbox', 0, 0],
    ]);
    expect(lines[2]).toMatchObject({ customer: { type: 'account', name: 'Second' }, plan: 'default' });
    for (const limit of [1, 3])
      expect(await statementOf(operator.api, '&customers=accounts', thisMonth, limit)).toEqual(lines);
  });
});

describe('403', () => {
  const refused = async (as: ApiClient, query = '') => {
    const answer = await as.get(`/v1/statements/${thisMonth}${query}`);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  };

  // Attack: a customer reads what all the others pay.
  test('the statements of all accounts for whoever is not the operator', async () => {
    const { api } = await createCustomer(server);
    await refused(api, '?customers=accounts');
    await refused(await withScopes(api, ['gatelodge.usage:read']), '?customers=accounts');
    const sandbox = await withScopes(operator.api, ['gatelodge.usage:read'], '/v1/api-keys', {
      environment: 'sandbox',
    });
    await refused(sandbox, '?customers=accounts');
    // Nor for a key of the operator's that may not know which accounts there are.
    await refused(await withScopes(operator.api, ['gatelodge.usage:read']), '?customers=accounts');
    await refused(await withScopes(api, ['gatelodge.events:read']));
    const { rows: seen } = await server.running.services.pool.query(
      `select * from lookup_statement_accounts($1, '2000-01-01', '2100-01-01', null, 100)`,
      [(await createCustomer(server)).id],
    );
    expect(seen).toEqual([]);
  });

  test('for keys of issuers and organizations', async () => {
    const { api } = await createCustomer(server);
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const { id } = await issuer.createOrganization();
    for (const path of [issuer.path, `${issuer.path}/organizations/${id}`])
      await refused(await withScopes(api, ['gatelodge.usage:read'], `${path}/api-keys`));
  });
});

test.each(['2026-13', '2026-1', '202601', '2026-01-01', '1969-12', '3000-01', 'now', '0000-01'])(
  '404: for %s, which is no month',
  async (month) => {
    const answer = await operator.api.get(`/v1/statements/${month}`);
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  },
);

test('422: for a month to come, and for what is none of the choices', async () => {
  const ask = async (path: string) => {
    const { status, body } = await operator.api.get(`/v1/statements/${path}`);
    return [status, body.errors?.[0].path];
  };
  expect(await ask('2999-12')).toEqual([422, 'month']);
  expect(await ask(`${thisMonth}?customers=all`)).toEqual([422, 'query.customers']);
  expect(await ask(`${thisMonth}?environment=test`)).toEqual([422, 'query.environment']);
  expect(await ask(`${thisMonth}?cursor=x`)).toEqual([422, 'query.cursor']);
});

// Attack: the look-up runs with rights of its own. Named in another account's transaction, by a statement that somebody has
// slipped in, it would tell what every customer is called and has used.
test('the look-up of all accounts answers in the operator’s own transactions alone', async () => {
  const { id } = await createCustomer(server);
  const { database } = server.running.services;
  const [operatorRow] = await rows.query<{ id: string }>('select id from accounts where is_operator');
  const told = (account: string) =>
    database.withAccount(account, async (tx) => {
      const { rows: found } = await sql`
        select * from lookup_statement_accounts(${operatorRow!.id}, ${`${thisMonth}-01`}, now(), null, 100)`.execute(
        tx,
      );
      return found.length;
    });
  expect(await told(operatorRow!.id)).toBeGreaterThan(0);
  expect(await told(id)).toBe(0);
});
