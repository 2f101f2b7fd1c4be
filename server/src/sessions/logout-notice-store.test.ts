import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { claimLogoutNotices } from './logout-notice-store.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

// Later than the job of this server will ever look.
const due = new Date('2100-01-01T00:00:00.000Z');
const leaseEnd = new Date(due.getTime() + 60_000);
const claim = (mostEach: number, underWay: readonly string[] = []) =>
  claimLogoutNotices(server.running.services.database.lookups, due, leaseEnd, {
    most: 20,
    mostEach,
    underWay,
  });

async function accountWith(name: string, notices: number): Promise<string> {
  const { id, api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  await rows.query(
    `insert into logout_notices (id, account_id, issuer_id, client_id, user_id, session_id, created_at, due_at)
      select $1 || n, $2, $3, 'c', 'u', 's', now(), $4::timestamptz - make_interval(secs => $5 - n)
      from generate_series(1, $5) as n`,
    [name, id, issuer.id, due, notices],
  );
  return id;
}

// Attack: an account whose receivers hang ends many sessions, and nobody else's clients are told of theirs.
test('accounts take turns: of one with many notices no more than so many are claimed', async () => {
  const busy = await accountWith('busy', 120);
  const other = await accountWith('other', 1);
  const first = await claim(4);
  const of = (account: string) => first.filter(({ account_id: id }) => id === account);
  expect([of(busy).length, of(other).length]).toEqual([4, 1]);
  // The oldest first, and each once.
  expect(
    of(busy)
      .map(({ id }) => id)
      .sort(),
  ).toEqual(['busy1', 'busy2', 'busy3', 'busy4']);
  const second = await Promise.all(Array.from({ length: 10 }, () => claim(4)));
  const ids = second.flat().map(({ id }) => id);
  expect(ids.length).toBeGreaterThan(3);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).not.toContain('other1');
  expect(second.flat().every(({ attempts }) => attempts === 1)).toBe(true);
});

test('what is under way of an account counts, and nobody else’s', async () => {
  const slow = await accountWith('slow', 10);
  const quick = await accountWith('quick', 10);
  const of = async (underWay: readonly string[]) => {
    const claimed = await claim(4, underWay);
    return [slow, quick].map((account) => claimed.filter(({ account_id: id }) => id === account).length);
  };
  expect(await of([slow, slow, slow, slow, slow])).toEqual([0, 4]);
  expect(await of([slow, quick, slow, slow, quick])).toEqual([1, 2]);
});

test('nodes of the build before this one claim as they did', async () => {
  const account = await accountWith('elder', 6);
  const claimed = await rows.query(
    'select account_id from gatelodge.claim_logout_notices_v2($1, $2, 20, 4)',
    [due, leaseEnd],
  );
  expect(claimed.filter(({ account_id: id }) => id === account)).toHaveLength(4);
});
