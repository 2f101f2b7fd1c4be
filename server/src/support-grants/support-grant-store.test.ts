import { sql } from 'kysely';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { grantSupport, readIn } from '../../test/harness/support.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const clock = new TestClock('2026-11-21T12:10:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

let customer: Customer;
beforeEach(async () => {
  customer = await createCustomer(server);
});

/** Sessions that wait for a lock. */
async function countWaiting(): Promise<number> {
  const [row] = await rows.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where wait_event_type = 'Lock' and datname = current_database()`,
  );
  return row!.count;
}

describe('a read that waits for a revocation under way', () => {
  // The attack: support reads in the moment in which the account takes its grant back.
  test('finds nothing, and no use is told of after the revocation', async () => {
    const id = await grantSupport(customer.api);
    await rows.query('begin');
    await rows.query('update support_grants set revoked_at = now() where id = $1', [id]);
    const reading = readIn(server.operator.api, customer.id);
    await expect.poll(countWaiting).toBe(1);
    await rows.query('commit');
    const { status, body } = await reading;
    expect([status, body.code]).toEqual([404, 'not_found']);
    const used = "select from events where account_id = $1 and type = 'support-grant.used'";
    expect(await rows.query(used, [customer.id])).toEqual([]);
  });
});

describe('the look-up before the account is known', () => {
  const { lookups } = server.running.services.database;
  const lookUp = async (asker: string, account: string) =>
    (await sql`select * from lookup_support_grant(${asker}, ${account}, ${clock.now()})`.execute(lookups))
      .rows;

  // The attack: code of a later version asks it for somebody who is not the operator.
  test('answers the operator’s account alone, and with ids only', async () => {
    const id = await grantSupport(customer.api);
    const stranger = await createCustomer(server);
    for (const asker of [stranger.id, customer.id, newId(idPrefixes.account), ''])
      expect(await lookUp(asker, customer.id)).toEqual([]);
    expect(await lookUp(server.operator.accountId, customer.id)).toEqual([{ id, account_id: customer.id }]);
    expect(await sql`select * from support_grants`.execute(lookups)).toMatchObject({ rows: [] });
  });

  // The attack: a fault in some other look-up function is used to read why accounts have let support in.
  test('belongs to a role that can read neither reasons nor makers', async () => {
    for (const column of ['reason', 'created_by', '*']) {
      await expect(
        rows.query(`set local role gatelodge_lookup; select ${column} from support_grants`),
      ).rejects.toThrow(/permission denied/);
    }
    const [row] = await rows.query<{ granted: boolean }>(
      `select exists (select from pg_proc, aclexplode(proacl)
         where proname = 'lookup_support_grant' and grantee = 0) as granted`,
    );
    expect(row).toEqual({ granted: false });
  });
});
