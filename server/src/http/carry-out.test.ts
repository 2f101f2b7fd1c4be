import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';

// Requests that meet somebody else's transaction. `other` is that one, `rows` looks on.
const server = await startTestServer();
const rows = await Rows.open(server.database);
const other = await Rows.open(server.database);
afterEach(() => other.query('rollback'));
afterAll(async () => {
  await rows.close();
  await other.close();
  await server.close();
});

/** Until so many requests wait for a lock. */
const waiting = (count: number) =>
  expect
    .poll(
      async () => {
        const found = await rows.query<{ count: number }>(
          `select count(*)::int as count from pg_stat_activity
           where wait_event_type = 'Lock' and datname = current_database()`,
        );
        return found[0]!.count;
      },
      { timeout: 10_000, interval: 10 },
    )
    .toBe(count);

describe('what a creation stands under is deleted at the same moment', () => {
  test.each(['organizations', 'issuers', 'accounts'])(
    '%s: it is not found, and nothing is left',
    async (table) => {
      const { id: accountId, api } = await createCustomer(server);
      const issuer = await api.create('/v1/issuers', { name: 'x' });
      const path = `/v1/issuers/${issuer.id}`;
      const organization = await api.create(`${path}/organizations`, { name: 'x' });
      const below = {
        organizations: [`${path}/organizations/${organization.id}/api-keys`],
        issuers: [
          `${path}/organizations/${organization.id}/api-keys`,
          `${path}/api-keys`,
          `${path}/organizations`,
        ],
        accounts: [`${path}/api-keys`, '/v1/api-keys', '/v1/issuers'],
      }[table]!;
      const id = { organizations: organization.id, issuers: issuer.id, accounts: accountId }[table];

      await other.query('begin');
      await other.query(`delete from ${table} where id = $1`, [id]);
      const asked = below.map((creation) =>
        api.post(creation, creation.endsWith('api-keys') ? undefined : { name: 'late' }),
      );
      await waiting(asked.length);
      await other.query('commit');
      for (const answer of await Promise.all(asked)) {
        expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
        expect(answer.text).not.toMatch(/constraint|foreign/);
      }
      const late = await rows.query(
        `select id from organizations where name = 'late' union all select id from issuers where name = 'late'
       union all select id from events where data->>'name' = 'late'`,
      );
      expect(late).toEqual([]);
    },
  );
});

describe('a deadlock', () => {
  test('that Postgres ends at the cost of a request does not fail it', async () => {
    const { id: accountId, api } = await createCustomer(server);
    const issuer = await api.create('/v1/issuers', { name: 'x' });
    await other.query('begin');
    // As the deletion of an account does: first the account's row, then what is below it.
    await other.query('select 1 from accounts where id = $1 for update', [accountId]);
    const asked = rows.eventsOf(async () => {
      const answer = api.post(`/v1/issuers/${issuer.id}/suspend`);
      await waiting(1);
      await other.query('update issuers set name = name where id = $1', [issuer.id]);
      await other.query('commit');
      return answer;
    });
    const { result: answer, events } = await asked;
    expect([answer.status, answer.body.data?.status]).toEqual([200, 'suspended']);
    expect(events.map(({ type }) => type)).toEqual(['issuer.suspended']);
  });
});
