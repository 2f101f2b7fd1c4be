import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { OtpWorld, someone } from './fixtures/otp-world.ts';
import { SlidingModel } from './fixtures/sliding-model.ts';
import { otpLimits } from './otp-limits.ts';
import { type SendTaken, takeSend } from './otp-store.ts';

/*
 * Attack: somebody has mails sent without end, to one address or to thousands, by one key or from one network; or burns
 * what an address may be sent, so that its owner gets no code.
 */

const world = await OtpWorld.make();
afterAll(() => world[Symbol.asyncDispose]());
const [issuer, sibling, stranger] = world.issuers;

const hourMs = 3_600_000;
const startMs = Date.parse('2026-11-21T12:00:00.000Z');
const at = (ms: number) => new Date(startMs + ms);

beforeEach(async () => {
  await world.rows.query('truncate otp_addresses, login_budgets, otp_mail_caps, otp_devices');
});

const waitOf = (taken: SendTaken) => (taken.isTaken ? 0 : taken.waitSeconds);

describe('to an address', () => {
  test('one a minute and five an hour of strangers', async () => {
    const address = someone();
    expect(waitOf(await world.send(issuer, { address }, at(0)))).toBe(0);
    expect(waitOf(await world.send(issuer, { address }, at(500)))).toBe(60);
    expect(waitOf(await world.send(issuer, { address }, at(59_999)))).toBe(1);
    for (let minute = 1; minute < 5; minute++)
      expect(waitOf(await world.send(issuer, { address }, at(minute * 60_000)))).toBe(0);
    expect(waitOf(await world.send(issuer, { address }, at(300_000)))).toBe(3_300);
    expect(waitOf(await world.send(issuer, { address }, at(hourMs)))).toBe(0);
  });

  test('one of 100 that come at once', async () => {
    const address = someone();
    const taken = await Promise.all(
      Array.from({ length: 100 }, () => world.send(issuer, { address }, at(0))),
    );
    expect(taken.filter(({ isTaken }) => isTaken)).toHaveLength(1);
  });

  // Attack: a stranger asks for codes until there are no more, so that the owner can't ask for one.
  test('two more are left for a device that has signed in', async () => {
    const address = someone();
    const device = await world.addDevice(issuer, address, at(hourMs * 24));
    for (let minute = 0; minute < 5; minute++) await world.send(issuer, { address }, at(minute * 60_000));
    expect(waitOf(await world.send(issuer, { address }, at(600_000)))).toBeGreaterThan(0);
    for (const minute of [10, 11])
      expect(
        waitOf(await world.send(issuer, { address, devices: [someone(), device] }, at(minute * 60_000))),
      ).toBe(0);
    expect(waitOf(await world.send(issuer, { address, devices: [device] }, at(720_000)))).toBe(2_880);
  });

  test('all seven to a device that has signed in, of which strangers find theirs taken', async () => {
    const address = someone();
    const devices = [await world.addDevice(issuer, address, at(hourMs * 24))];
    for (let minute = 0; minute < 7; minute++)
      expect(waitOf(await world.send(issuer, { address, devices }, at(minute * 60_000)))).toBe(0);
    for (const asking of [{ address, devices }, { address }])
      expect(waitOf(await world.send(issuer, asking, at(420_000)))).toBe(3_180);
  });

  test('at another issuer as if nothing had been', async () => {
    const address = someone();
    for (const other of [issuer, sibling, stranger])
      expect(waitOf(await world.send(other, { address }, at(0)))).toBe(0);
  });

  test('in no hour more than may be, whenever they come', async () => {
    const waits = fc.oneof(fc.integer({ min: 0, max: 90_000 }), fc.integer({ min: 0, max: hourMs }));
    await fc.assert(
      fc.asyncProperty(fc.array(waits, { minLength: 1, maxLength: 30 }), async (steps) => {
        const address = someone();
        const model = new SlidingModel();
        let ms = 0;
        for (const waitMs of steps) {
          ms += waitMs;
          const wait = model.waitMs(
            [
              { most: 1, spanMs: 60_000 },
              { most: 5, spanMs: hourMs },
            ],
            ms,
          );
          expect(waitOf(await world.send(issuer, { address }, at(ms)))).toBe(Math.ceil(wait / 1_000));
          if (wait === 0) model.take(ms);
        }
      }),
      { numRuns: scaled(30, 300) },
    );
  });
});

test.each([
  ['key', otpLimits.keyMailsAnHour - otpLimits.keyMailsKeptAnHour],
  ['ip', otpLimits.ipMailsAnHour],
] as const)(
  'by one %s %i an hour, however many come at once, and then again one by one',
  async (kind, most) => {
    const subject = someone();
    const ask = (ms: number) => world.send(issuer, { address: someone(), [kind]: subject }, at(ms));
    const taken: SendTaken[] = [];
    for (let round = 0; taken.length < most + 40; round++)
      taken.push(...(await Promise.all(Array.from({ length: 20 }, () => ask(Math.min(round, 1) * 60_000)))));
    expect(taken.filter(({ isTaken }) => isTaken)).toHaveLength(most);
    expect(waitOf(await ask(60_000))).toBeGreaterThan(3_500);
    // Those of the same moment are free again at the same moment.
    expect(waitOf(await ask(hourMs + 60_000))).toBe(0);
  },
);

// Attack: ten networks with a public key have mails sent until nobody of the whole application gets a code.
test('a part of the mails of a key is left for devices that have signed in', async () => {
  const { keyMailsAnHour, keyMailsKeptAnHour } = otpLimits;
  const key = someone();
  const ask = (address: Buffer, devices: readonly Buffer[] = []) =>
    world.send(issuer, { address, key, devices }, at(0));
  await ask(someone());
  await world.rows.query(
    `update login_budgets set takes = array_fill($1::timestamptz, array[$2::int]),
       public_takes = array_fill($1::timestamptz, array[$2::int]) where subject = $3`,
    [at(0), keyMailsAnHour - keyMailsKeptAnHour, key],
  );
  expect(waitOf(await ask(someone()))).toBe(3_600);
  const own = await Promise.all(
    Array.from({ length: keyMailsKeptAnHour + 10 }, async () => {
      const address = someone();
      return ask(address, [await world.addDevice(issuer, address, at(hourMs))]);
    }),
  );
  expect(own.filter(({ isTaken }) => isTaken)).toHaveLength(keyMailsKeptAnHour);
});

// Attack: eight networks have 60 mails each sent by the pages of an issuer, and nobody new can sign in for an hour.
test('once half of the mails are used up, each network gets a few of the rest, and a server’s what it always does', async () => {
  const { crowdedFromMailsAnHour: half, crowdedIpMailsAnHour: few, ipMailsAnHour } = otpLimits;
  const key = someone();
  const flood = async (ip: Buffer, count: number, isBrowser = true) => {
    const asked = Array.from({ length: count }, () =>
      world.send(issuer, { address: someone(), key, ip, isBrowser }, at(0)),
    );
    return (await Promise.all(asked)).filter(({ isTaken }) => isTaken).length;
  };
  for (let count = 0; count < half; count += ipMailsAnHour)
    expect(await flood(someone(), ipMailsAnHour)).toBe(ipMailsAnHour);
  const network = someone();
  expect(await flood(network, 50)).toBe(few);
  expect(waitOf(await world.send(issuer, { address: someone(), key, ip: network }, at(60_000)))).toBe(3_540);
  // Also of a network that has had more before.
  const before = someone();
  await Promise.all(
    Array.from({ length: 20 }, () => world.send(issuer, { address: someone(), ip: before }, at(0))),
  );
  expect(await flood(before, 1)).toBe(0);
  expect(await flood(someone(), few + 4, false)).toBe(few + 4);
  const address = someone();
  const device = await world.addDevice(issuer, address, at(hourMs));
  const own = { address, key, ip: network, devices: [device] };
  expect(waitOf(await world.send(issuer, own, at(0)))).toBe(0);
  // An hour later all is as before.
  expect(waitOf(await world.send(issuer, { address: someone(), key, ip: network }, at(hourMs)))).toBe(0);
});

test('nodes of the build before this one take as they did', async () => {
  const [key, ip] = [someone(), someone()];
  for (let count = 0; count < otpLimits.crowdedIpMailsAnHour + 2; count++) {
    const [row] = await world.rows.query(
      `select wait_seconds from gatelodge.take_login_budgets_v2(
         $1, $2, $3, $4, $5, '{}', $6, interval '60 seconds', 7, 5, 600, 480, 60)`,
      [issuer.accountId, issuer.issuerId, someone(), key, ip, at(0)],
    );
    expect(row!.wait_seconds).toBe(0);
    await world.rows.query(
      'update login_budgets set public_takes = array_fill($1::timestamptz, array[$2::int]) where subject = $3',
      [at(0), otpLimits.crowdedFromMailsAnHour, key],
    );
  }
});

test('an IP address of one account takes nothing from another account', async () => {
  const ip = someone();
  for (let count = 0; count < otpLimits.ipMailsAnHour; count++)
    await world.send(issuer, { address: someone(), ip }, at(0));
  expect(waitOf(await world.send(sibling, { address: someone(), ip }, at(0)))).toBe(3_600);
  expect(waitOf(await world.send(stranger, { address: someone(), ip }, at(0)))).toBe(0);
});

test('what one budget refuses is taken from no other, and a transaction that fails takes nothing', async () => {
  const ip = someone();
  const key = someone();
  const address = someone();
  await world.send(issuer, { address, key, ip }, at(0));
  for (let count = 0; count < 5; count++) await world.send(issuer, { address, key, ip }, at(1_000));
  await world.database
    .withAccount(issuer.accountId, async (tx) => {
      const subjects = { address: someone(), key, ip, devices: [], isBrowser: true };
      expect(await takeSend(tx, issuer, subjects, at(1_000))).toMatchObject({ isTaken: true });
      throw new Error('the mail could not be queued');
    })
    .catch(() => {});
  const takes = await world.rows.query<{ count: number }>(
    'select cardinality(takes) as count from login_budgets where subject = any ($1)',
    [[ip, key]],
  );
  expect(takes).toEqual([{ count: 1 }, { count: 1 }]);
});

describe('to an address over all issuers', () => {
  const most = otpLimits.addressMailsAnHour;

  test('after ten in an hour there is no mail any more, for an hour', async () => {
    const everywhere = someone();
    const ask = (scope = issuer, ms = 0) => world.cap(scope, { address: someone(), everywhere }, at(ms));
    for (let count = 0; count < most; count++)
      expect(await ask([issuer, sibling, stranger][count % 3])).toBe(false);
    for (const scope of world.issuers) expect(await ask(scope)).toBe(true);
    expect(await ask(issuer, hourMs)).toBe(false);
  });

  // Attack: somebody has ten mails sent to a user from applications of his own, to keep the user out of this one.
  test('never where the address has signed in', async () => {
    const everywhere = someone();
    const address = someone();
    await world.addDevice(issuer, address, at(24 * hourMs));
    for (let count = 0; count < 2 * most; count++)
      await world.cap(stranger, { address: someone(), everywhere }, at(0));
    expect(await world.cap(issuer, { address, everywhere }, at(0))).toBe(false);
    expect(await world.cap(sibling, { address, everywhere }, at(0))).toBe(true);
  });

  // Attack: an issuer that lets nobody sign up asks for mails that are never sent, until others may send none.
  test('is not taken from by mails that nobody is to get', async () => {
    const everywhere = someone();
    for (let count = 0; count < 2 * most; count++)
      expect(await world.cap(stranger, { address: someone(), everywhere }, at(0), false)).toBe(false);
    expect(await world.cap(issuer, { address: someone(), everywhere }, at(0))).toBe(false);
  });

  test('counts exactly what comes at once', async () => {
    const everywhere = someone();
    const asked = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        world.cap(world.issuers[index % 3]!, { address: someone(), everywhere }, at(0)),
      ),
    );
    expect(asked.filter((isCapped) => !isCapped)).toHaveLength(most);
  });
});

// Attack: sweeps delete a budget between the moment that it is made and the moment that it is locked.
test('sweeps at the same time neither open a budget nor make a request fail', async () => {
  const dayMs = 24 * hourMs;
  let isOver = false;
  const sweeps = (async () => {
    // Every row has been worth nothing for days by then.
    for (let count = 0; !isOver && count < 2_000; count++)
      await world.pool.query('select sweep_otp($1, 1000)', [at(30 * dayMs)]);
  })();
  const address = someone();
  const failed: unknown[] = [];
  let left = scaled(100, 1_000);
  const ask = async () => {
    while (left-- > 0) {
      await world.send(issuer, { address: left % 2 ? address : someone() }, at(0));
      await world.guess(issuer, { address }, at(0));
    }
  };
  // As many as wait for one of the pool's connections no longer than it lets them.
  await Promise.all(Array.from({ length: 50 }, () => ask().catch((error) => failed.push(error))));
  isOver = true;
  await sweeps;
  expect(failed).toEqual([]);
});

// Attack: a user's address is changed, and a device that was somebody's goes on as one of whoever has the address next.
test('a device is forgotten with the address that it has signed in with', async () => {
  const address = someone();
  const device = await world.addDevice(issuer, address, at(24 * hourMs));
  const other = await world.addDevice(issuer, someone(), at(24 * hourMs));
  const left = async () =>
    (await world.rows.query<{ digest: Buffer }>('select digest from otp_devices')).map(
      ({ digest }) => digest,
    );
  const update = (set: string) =>
    world.database.withAccount(issuer.accountId, (tx) =>
      sql`update users set ${sql.raw(set)} where id = (select user_id from otp_devices where digest = ${device})`.execute(
        tx,
      ),
    );
  await update(`status = 'suspended', username = upper(username)`);
  expect(await left()).toHaveLength(2);
  await update(`username_key = 'another@example.com'`);
  expect(await left()).toEqual([other]);
});

test('the sweep forgets what says nothing any more, and nothing else', async () => {
  const dayMs = 24 * hourMs;
  const old = someone();
  const recent = someone();
  await world.send(issuer, { address: old }, at(0));
  await world.addDevice(issuer, old, at(3 * dayMs));
  await world.send(issuer, { address: recent }, at(2 * dayMs));
  await world.cap(issuer, { address: old, everywhere: old }, at(0));
  await world.cap(issuer, { address: recent, everywhere: recent }, at(2 * dayMs));
  await world.guess(issuer, { address: recent }, at(2 * dayMs));
  const device = await world.addDevice(issuer, recent, at(3 * dayMs + 1));
  const sweep = async (ms: number) => {
    const { rows } = await world.pool.query('select sweep_otp($1, 1) as has_more', [at(ms)]);
    return rows[0].has_more;
  };
  for (let count = 0; (await sweep(3 * dayMs)) && count < 20; count++);
  const left = (table: string, column: string) =>
    world.rows.query<Record<string, Buffer>>(`select ${column} from ${table}`);
  expect(await left('otp_addresses', 'address')).toEqual([{ address: recent }]);
  expect(await left('login_budgets', 'subject')).toHaveLength(3);
  expect(await left('otp_mail_caps', 'address')).toHaveLength(1);
  expect(await left('otp_devices', 'digest')).toEqual([{ digest: device }]);
});
