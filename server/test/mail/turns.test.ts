import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { claimMails, type Turns } from '../../src/mail/mail-store.ts';
import { type Customer, createCustomer } from '../harness/customer.ts';
import { Rows } from '../harness/rows.ts';
import { scaled } from '../harness/scale.ts';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { SlowMailServer } from '../harness/slow-mail-server.ts';
import { succeeded } from '../harness/test-issuer.ts';

/*
 * Attack: one tenant has thousands of mails sent, or mails that its own server takes its time with, and everybody else's
 * codes come when they have expired.
 */

interface Sender {
  customer: Customer;
  issuerId: string;
}

let mailServer: SlowMailServer;
let node: TestServer;
let rows: Rows;
let loud: Sender;
let quiet: Sender;
let third: Sender;
const clock = new TestClock();
beforeAll(async () => {
  mailServer = await SlowMailServer.start();
  node = await startTestServer({ clock, env: mailServer.env });
  rows = await Rows.open(node.database);
  const make = async (): Promise<Sender> => {
    const customer = await createCustomer(node);
    return { customer, issuerId: (await customer.api.create('/v1/issuers', { name: 'Acme' })).id };
  };
  [loud, quiet, third] = [await make(), await make(), await make()];
});
afterEach(async () => {
  await rows.query('delete from mails');
});
afterAll(async () => {
  await rows.close();
  await node.close();
  await mailServer[Symbol.asyncDispose]();
});

/** For those who claim here, and in a hundred years for the node itself. */
const momentMs = clock.nowMs() + 100 * 365 * 86_400_000;

/** Mails that wait, due one after the other: of those that were queued first the oldest first. */
async function fill({ customer, issuerId }: Sender, count: number, ageMs = 0): Promise<void> {
  await rows.query(
    `insert into mails (id, account_id, issuer_id, environment, subject_type, subject_id, sealed, secret_generation,
       not_after, created_at, due_at)
     select 'mail_' || $1 || '_' || $4::int || '_' || n, $1, $2, 'live', 'issuer', $2, '', 1, 'infinity', $3,
       $3::timestamptz - make_interval(secs => ($4::float8 - n) / 1000) from generate_series(1, $5::int) as n`,
    [customer.id, issuerId, new Date(momentMs), ageMs + count, count],
  );
}

function claim(most: number, turns: Partial<Turns> = {}) {
  const moment = new Date(momentMs);
  const leaseEnd = new Date(momentMs + 90_000);
  return claimMails(node.running.services.database.lookups, moment, leaseEnd, most, {
    ...{ underWay: [], mostEach: 4, after: '' },
    ...turns,
  });
}

const whose = (mails: readonly { account_id: string }[]) => {
  const counts = { loud: 0, quiet: 0, third: 0 };
  for (const { account_id } of mails) {
    if (account_id === loud.customer.id) counts.loud++;
    if (account_id === quiet.customer.id) counts.quiet++;
    if (account_id === third.customer.id) counts.third++;
  }
  return counts;
};

describe('a claim', () => {
  test('takes of each account in turn, however many older ones of another wait', async () => {
    await fill(loud, scaled(16_000, 200_000), 3_600_000);
    await fill(quiet, 1);
    await fill(third, 3);
    const first = await claim(8);
    expect(whose(first.mails)).toEqual({ loud: 4, quiet: 1, third: 3 });
    await fill(quiet, 2, 10);
    await fill(third, 2, 10);
    expect(whose((await claim(3)).mails)).toEqual({ loud: 1, quiet: 1, third: 1 });
  });

  test('takes the oldest of an account first', async () => {
    await fill(loud, 20);
    const { mails } = await claim(4);
    expect(mails.map(({ id }) => Number(id.split('_').at(-1))).sort()).toEqual([1, 2, 3, 4]);
  });

  test('goes on with the account after the last one', async () => {
    for (const sender of [loud, quiet, third]) await fill(sender, 5);
    const seen: string[] = [];
    let after = '';
    for (let turn = 0; turn < 6; turn++) {
      const claimed = await claim(1, { after });
      after = claimed.after;
      seen.push(claimed.mails[0]!.account_id);
    }
    const inOrder = [loud, quiet, third].map(({ customer }) => customer.id).sort();
    expect(seen).toEqual([...inOrder, ...inOrder]);
  });

  test('leaves out an account that has as much under way as it may', async () => {
    await fill(loud, 10);
    const underWay = [loud.customer.id, loud.customer.id, quiet.customer.id, loud.customer.id];
    expect(whose((await claim(8, { underWay })).mails)).toEqual({ loud: 1, quiet: 0, third: 0 });
    underWay.push(loud.customer.id);
    expect(await claim(8, { underWay })).toMatchObject({ mails: [], isRound: true });
  });

  test('says that it has not seen every account, and goes on from there', async () => {
    await rows.query(
      `insert into accounts (id, name) select 'acc_' || lpad(n::text, 25, '0'), 'Acme' from generate_series(1, 1001) as n`,
    );
    await rows.query(
      `insert into issuers (id, account_id, name, environment)
         select 'i_' || right(id, 25), id, 'Acme', 'live' from accounts where id < 'acc_00000000000000000001002'`,
    );
    await rows.query(
      `insert into mails (id, account_id, issuer_id, environment, subject_type, subject_id, sealed, secret_generation,
         not_after, created_at, due_at)
       select 'mail_' || id, account_id, id, 'live', 'issuer', id, '', 1, 'infinity', $1, 'infinity'
       from issuers where name = 'Acme' and account_id < 'acc_00000000000000000001002'`,
      [new Date(momentMs)],
    );
    await fill(quiet, 1);
    const first = await claim(8);
    expect(first).toMatchObject({ mails: [], isRound: false });
    expect(whose((await claim(8, first)).mails)).toMatchObject({ quiet: 1 });
    await rows.query('delete from mails');
  });

  test('of 50 at once gives each mail to one', async () => {
    for (const sender of [loud, quiet, third]) await fill(sender, 40);
    const claims = await Promise.all(Array.from({ length: 50 }, () => claim(2)));
    const ids = claims.flatMap(({ mails }) => mails.map(({ id }) => id));
    expect(ids.length).toBeGreaterThan(0);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('leaves mails of a suspended issuer and account, and takes those that have expired', async () => {
    const { id } = await loud.customer.api.create('/v1/issuers', { name: 'Suspended' });
    await fill({ ...loud, issuerId: id }, 300, 3_600_000);
    await fill(loud, 1);
    await fill(third, 2);
    succeeded(await loud.customer.api.post(`/v1/issuers/${id}/suspend`));
    succeeded(await node.operator.api.post(`/v1/accounts/${third.customer.id}/suspend`));
    const { mails } = await claim(8);
    expect(mails.map(({ issuer_id }) => issuer_id)).toEqual([loud.issuerId]);
    await rows.query(`update mails set not_after = $1 where id like '%_299' or account_id = $2`, [
      new Date(momentMs),
      third.customer.id,
    ]);
    expect(whose((await claim(8)).mails)).toEqual({ loud: 1, quiet: 0, third: 2 });
    succeeded(await node.operator.api.post(`/v1/accounts/${third.customer.id}/activate`));
  });
});

// Attack: a suspended issuer has left so many mails that the rest of its account waits behind them.
test('mails of a suspended issuer hide none of another issuer of the account', async () => {
  const { id } = await loud.customer.api.create('/v1/issuers', { name: 'Suspended' });
  succeeded(await loud.customer.api.post(`/v1/issuers/${id}/suspend`));
  await fill({ ...loud, issuerId: id }, 1_001, 3_600_000);
  await fill(loud, 1);
  const claims = [await claim(8), await claim(8), await claim(8)];
  expect(claims.map(({ mails, isRound }) => [mails.length, isRound])).toEqual([
    [0, false],
    [0, false],
    [1, true],
  ]);
  const [left] = await rows.query('select count(*)::int as count from mails where attempts = 0');
  expect(left).toEqual({ count: 1_001 });
});

test('a server that is slow with the mails of one account takes half of the lanes, and no more', async () => {
  const { database, mails } = node.running.services;
  const queue = ({ customer, issuerId }: Sender, to: string) =>
    database.withAccount(customer.id, (tx) =>
      mails.queue(tx, {
        ...{ accountId: customer.id, issuerId, environment: 'live', notAfterMs: clock.nowMs() + 600_000 },
        mail: { to, subject: 'Your code', text: '314159', html: '<p>314159</p>', senderName: null },
        subject: { type: 'issuer', id: issuerId },
      }),
    );
  for (let count = 0; count < 20; count++) await queue(loud, `someone-${count}@slow.example`);
  mails.wake();
  await vi.waitFor(() => expect(mailServer.pending.length).toBe(4), { timeout: 10_000, interval: 10 });
  const others = Array.from({ length: 20 }, (_, count) => `other-${count}@quick.example`);
  for (const to of others) await queue(quiet, to);
  mails.wake();
  await vi.waitFor(() => expect(mailServer.delivered.toSorted()).toEqual(others.toSorted()), {
    timeout: 10_000,
    interval: 10,
  });
  expect(mailServer.pending.length).toBe(4);
});
