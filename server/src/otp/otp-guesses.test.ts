import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { OtpWorld, someone } from './fixtures/otp-world.ts';
import { SlidingModel } from './fixtures/sliding-model.ts';
import { addFailure, countFailures, type Failure } from './otp-failure-store.ts';
import { otpLimits } from './otp-limits.ts';
import { type Guess, type PutCode, putCode, redeemCode } from './otp-store.ts';

/*
 * Attack: codes have six digits, so whoever may guess often enough gets in. Guesses come in parallel, over new codes, from
 * other addresses and sessions, and in transactions that are made to fail.
 */

const world = await OtpWorld.make();
afterAll(() => world[Symbol.asyncDispose]());
const [issuer, sibling, stranger] = world.issuers;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const startMs = Date.parse('2026-11-21T12:00:00.000Z');
const at = (ms: number) => new Date(startMs + ms);

function guess(address: Buffer, ms: number, devices: readonly Buffer[] = [], scope = issuer): Promise<Guess> {
  return world.guess(scope, { address, devices }, at(ms));
}

function codeOf(id: string, ms: number, isCapped = false): PutCode {
  return { id, mac: someone(), generation: 1, expiresAt: at(ms + 600_000), isCapped };
}

/** A code that is good from `ms` on for ten minutes. */
async function giveCode(address: Buffer, ms: number, scope = issuer): Promise<string> {
  await world.send(scope, { address }, at(ms));
  const id = newId(idPrefixes.otpCode);
  await world.database.withAccount(scope.accountId, (tx) => putCode(tx, scope, address, codeOf(id, ms)));
  return id;
}

async function use(
  address: Buffer,
  codeId: string,
  ms: number,
  scope = issuer,
  fail?: Error,
): Promise<boolean> {
  const code = { codeId, address, usernameKey: 'nobody@example.com' };
  return world.database.withAccount(scope.accountId, async (tx) => {
    const redeemed = await redeemCode(tx, scope, code, someone(), at(ms));
    if (fail !== undefined) throw fail;
    return redeemed !== null;
  });
}

const counted = (guesses: readonly Guess[]) => guesses.filter(({ isCounted }) => isCounted);

describe('a code', () => {
  test('takes five of 200 guesses that come at once', async () => {
    const address = someone();
    const id = await giveCode(address, 0);
    const guesses = await Promise.all(Array.from({ length: 200 }, () => guess(address, 1_000)));
    expect(counted(guesses)).toHaveLength(otpLimits.guessesOfCode);
    const left = counted(guesses).map((one) => (one.isCounted ? one.attemptsLeft : -1));
    expect(left.sort()).toEqual([0, 1, 2, 3, 4]);
    expect(counted(guesses)).toEqual(
      Array(5).fill(expect.objectContaining({ code: expect.objectContaining({ id }) })),
    );
    const refused = guesses.filter(({ isCounted }) => !isCounted);
    expect(refused).toEqual(Array(195).fill({ isCounted: false, waitSeconds: 599 }));
  });

  test('is used up once by any number at once', async () => {
    for (let round = 0; round < scaled(5, 100); round++) {
      const address = someone();
      const id = await giveCode(address, 0);
      const uses = await Promise.all(Array.from({ length: 50 }, () => use(address, id, 1_000)));
      expect(uses.filter(Boolean)).toHaveLength(1);
      expect(await guess(address, 2_000)).toMatchObject({ isCounted: true, code: null });
    }
  });

  test('is worth nothing once it has expired, been used, or been replaced', async () => {
    const address = someone();
    const first = await giveCode(address, 0);
    const second = await giveCode(address, 60_000);
    expect(await use(address, first, 61_000)).toBe(false);
    expect(await use(address, second, 62_000)).toBe(true);
    expect(await use(address, second, 62_000)).toBe(false);
    const third = await giveCode(address, 120_000);
    expect(await use(address, third, 720_000)).toBe(false);
    expect(await guess(address, 719_999)).toMatchObject({ code: { id: third } });
    expect(await guess(address, 720_000)).toMatchObject({ code: null, attemptsLeft: 4 });
  });

  // Attack: somebody who can't mail the owner any more replaces the code of the last mail, or guesses at it beyond five.
  test('that is kept where there is no mail stays good, and takes five guesses in all', async () => {
    const address = someone();
    const id = await giveCode(address, 0);
    const ask = (ms: number) =>
      world.database.withAccount(issuer.accountId, (tx) =>
        putCode(tx, issuer, address, codeOf(newId(idPrefixes.otpCode), ms, true)),
      );
    for (let count = 0; count < 4; count++)
      expect(await guess(address, 1_000)).toMatchObject({ code: { id } });
    await ask(60_000);
    // What is told is that of a new code.
    expect(await guess(address, 61_000)).toMatchObject({ code: { id }, attemptsLeft: 2 });
    expect(await guess(address, 61_000)).toMatchObject({ code: null, attemptsLeft: 1 });
    const device = await world.addDevice(issuer, address, at(dayMs));
    await ask(120_000);
    expect(await guess(address, 121_000, [device])).toMatchObject({ code: null, attemptsLeft: 3 });
    expect(await use(address, id, 121_000)).toBe(true);

    const second = await giveCode(address, 2 * hourMs);
    await ask(2 * hourMs + 300_000);
    expect(await guess(address, 2 * hourMs + 599_999)).toMatchObject({ code: { id: second } });
    expect(await guess(address, 2 * hourMs + 600_000)).toMatchObject({ code: null });
  });

  test('leaves what it has cost when its transaction fails', async () => {
    const address = someone();
    const id = await giveCode(address, 0);
    for (let count = 0; count < 5; count++) {
      expect(await guess(address, 1_000)).toMatchObject({ isCounted: true });
      await use(address, id, 1_000, issuer, new Error('the mail of a welcome, say')).catch(() => {});
    }
    expect(await guess(address, 1_000)).toMatchObject({ isCounted: false });
    // It has been used by nobody.
    expect(await use(address, id, 1_000)).toBe(true);
  });
});

describe('guesses at an address', () => {
  // Attack: a stranger guesses once at an address, and learns by how many guesses are left that its owner has just signed
  // in. What guesses are left of an hour stays as it was.
  test('are told alike where a code has just been used and where nobody has ever asked for one', async () => {
    const told = async (hasSignedIn: boolean) => {
      const address = someone();
      if (hasSignedIn) {
        const id = await giveCode(address, 0);
        expect(await guess(address, 1_000)).toMatchObject({ isCounted: true, code: { id } });
        expect(await use(address, id, 1_000)).toBe(true);
      }
      const guesses: Guess[] = [];
      for (let count = 0; count < 6; count++) guesses.push(await guess(address, 2_000));
      return guesses;
    };
    const ofNobody = await told(false);
    expect(ofNobody.at(-1)).toEqual({ isCounted: false, waitSeconds: 600 });
    expect(await told(true)).toEqual(ofNobody);
  });

  test('that have been made stay made when a code is used', async () => {
    const address = someone();
    const id = await giveCode(address, 0);
    for (let count = 0; count < 5; count++) await guess(address, 1_000);
    expect(await use(address, id, 1_000)).toBe(true);
    const next = [1, 2, 3, 4].map(() => guess(address, 2_000));
    expect(counted(await Promise.all(next))).toHaveLength(2);
  });

  test('are seven an hour for strangers, over all codes, and answered alike without a code', async () => {
    const answers = async (address: Buffer, hasCodes: boolean) => {
      const told: unknown[] = [];
      for (let code = 0; code < 3; code++) {
        const ms = code * 700_000;
        if (hasCodes) await giveCode(address, ms);
        for (let count = 0; count < 6; count++) {
          const { code: _code, ...rest } = { code: null, ...(await guess(address, ms)) };
          told.push(rest);
        }
      }
      return told;
    };
    const known = await answers(someone(), true);
    expect(await answers(someone(), false)).toEqual(known);
    expect(known.filter((one) => (one as Guess).isCounted)).toHaveLength(7);
    expect(known.at(-1)).toEqual({ isCounted: false, waitSeconds: (hourMs - 1_400_000) / 1_000 });
  });

  // Attack: a stranger guesses wrong until nobody may guess any more, and the owner stands before the door.
  test('leave three an hour and six a day to a device that has signed in', async () => {
    const address = someone();
    const device = await world.addDevice(issuer, address, at(90 * dayMs));
    const burnt = async (ms: number) => {
      let count = 0;
      for (let code = 0; code < 4; code++) {
        await giveCode(address, ms + code * 60_000);
        for (let tries = 0; tries < 5; tries++)
          if ((await guess(address, ms + code * 60_000)).isCounted) count++;
      }
      return count;
    };
    expect(await burnt(0)).toBe(7);
    await giveCode(address, 300_000);
    const own = [1, 2, 3, 4].map(() => guess(address, 300_000, [someone(), device]));
    expect(counted(await Promise.all(own))).toHaveLength(3);
    expect(await burnt(2 * hourMs)).toBe(7);
    // 14 of strangers today: no more of them, however long they wait within it.
    expect(await burnt(4 * hourMs)).toBe(0);
    await giveCode(address, 5 * hourMs);
    const rest = [1, 2, 3, 4].map(() => guess(address, 5 * hourMs, [device]));
    expect(counted(await Promise.all(rest))).toHaveLength(3);
    expect(await guess(address, 7 * hourMs, [device])).toMatchObject({ isCounted: false });
  });

  test('of a device of another address, another issuer, or of before its end, are a stranger’s', async () => {
    const address = someone();
    const devices = [
      await world.addDevice(issuer, someone(), at(dayMs)),
      await world.addDevice(sibling, address, at(dayMs)),
      await world.addDevice(issuer, address, at(0)),
    ];
    expect(await guess(address, 0, devices)).toMatchObject({ isCounted: true, device: null });
  });

  // Attack: the issuer of another application is used to guess, lock or use up what belongs to this one.
  test('at one issuer say nothing at another', async () => {
    const address = someone();
    const id = await giveCode(address, 0);
    for (const other of [sibling, stranger]) {
      const guesses = await Promise.all(Array.from({ length: 20 }, () => guess(address, 1_000, [], other)));
      expect(counted(guesses)).toHaveLength(5);
      expect(counted(guesses).every((one) => one.isCounted && one.code === null)).toBe(true);
      expect(await use(address, id, 1_000, other)).toBe(false);
    }
    expect(await guess(address, 1_000)).toMatchObject({ attemptsLeft: 4, code: { id } });
  });

  test('are in no hour and in no day more than may be, whenever they come and whatever for', async () => {
    const step = fc.record({
      waitMs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 1, max: 120_000 }),
        fc.integer({ min: 1, max: 5 * hourMs }),
      ),
      isDevice: fc.boolean(),
      asksForCode: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const address = someone();
        const device = await world.addDevice(issuer, address, at(1_000 * dayMs));
        const all = new SlidingModel();
        const strangers = new SlidingModel();
        let code: { guesses: number; endMs: number } | null = null;
        let ms = 0;
        for (const { waitMs, isDevice, asksForCode } of steps) {
          ms += waitMs;
          if (asksForCode) {
            await giveCode(address, ms);
            code = { guesses: 0, endMs: ms + 600_000 };
          }
          if (code === null || code.endMs <= ms) code = { guesses: 0, endMs: ms + 600_000 };
          const hour = { most: 10, spanMs: hourMs };
          const day = { most: 20, spanMs: dayMs };
          const publicLimits = [
            { most: 7, spanMs: hourMs },
            { most: 14, spanMs: dayMs },
          ];
          const wait = Math.max(
            code.guesses >= 5 ? code.endMs - ms : 0,
            all.waitMs([hour, day], ms),
            isDevice ? 0 : strangers.waitMs(publicLimits, ms),
          );
          const made = await guess(address, ms, isDevice ? [device] : []);
          if (wait > 0) {
            expect(made).toEqual({ isCounted: false, waitSeconds: Math.ceil(wait / 1_000) });
            continue;
          }
          code.guesses++;
          all.take(ms);
          if (!isDevice) strangers.take(ms);
          const room = [hour, day].map((limit) => all.room(limit, ms));
          const publicRoom = isDevice ? [] : publicLimits.map((limit) => strangers.room(limit, ms));
          expect(made).toMatchObject({
            isCounted: true,
            device: isDevice ? device : null,
            attemptsLeft: Math.min(5 - code.guesses, ...room, ...publicRoom),
          });
        }
      }),
      { numRuns: scaled(30, 500) },
    );
  });
});

/*
 * Attack: somebody makes addresses up and guesses at each, so that no budget of an address ends it, and every guess leaves
 * rows.
 */
describe('guesses from a network', () => {
  const { ipGuessesAnHour, ipGuessesKeptAnHour } = otpLimits;
  const most = ipGuessesAnHour - ipGuessesKeptAnHour;
  const ask = (ip: Buffer, ms = 0, scope = issuer, address = someone(), devices: readonly Buffer[] = []) =>
    world.guess(scope, { address, ip, devices }, at(ms));
  const useUp = async (ip: Buffer) => {
    const guesses: Guess[] = [];
    while (guesses.length < most + 20)
      guesses.push(...(await Promise.all(Array.from({ length: 50 }, () => ask(ip)))));
    return guesses;
  };

  test('are 240 an hour over all addresses of an account, counted exactly of 50 at once', async () => {
    const ip = someone();
    expect(counted(await useUp(ip))).toHaveLength(most);
    expect(await ask(ip, 1_000)).toEqual({ isCounted: false, waitSeconds: 3_599 });
    expect(await ask(ip, 1_000, sibling)).toMatchObject({ isCounted: false });
    expect(await ask(ip, 1_000, stranger)).toMatchObject({ isCounted: true });
    expect(await ask(someone(), 1_000)).toMatchObject({ isCounted: true });
    expect(await ask(ip, hourMs)).toMatchObject({ isCounted: true });
  });

  test('leave no row any more once there are too many', async () => {
    const ip = someone();
    await useUp(ip);
    const rowsNow = () => world.rows.query('select count(*)::int as count from otp_addresses');
    const before = await rowsNow();
    await Promise.all(Array.from({ length: 50 }, () => ask(ip, 1_000)));
    expect(await rowsNow()).toEqual(before);
  });

  test('leave a part to devices that have signed in', async () => {
    const ip = someone();
    await useUp(ip);
    const owners = await Promise.all(
      Array.from({ length: ipGuessesKeptAnHour + 1 }, async () => {
        const address = someone();
        return { address, device: await world.addDevice(issuer, address, at(dayMs)) };
      }),
    );
    const own = await Promise.all(owners.map(({ address, device }) => ask(ip, 0, issuer, address, [device])));
    expect(counted(own)).toHaveLength(ipGuessesKeptAnHour);
  });

  // Attack: whoever may guess no more looks whether a refusal is another one at the address of a user.
  test('that are too many are refused alike, whatever the address has had', async () => {
    const ip = someone();
    const known = someone();
    await giveCode(known, 0);
    await useUp(ip);
    expect(await ask(ip, 1_000, issuer, known)).toEqual(await ask(ip, 1_000));
  });
});

test('a guess at an issuer that is gone is one at nothing', async () => {
  const gone = { ...issuer, issuerId: newId(idPrefixes.issuer) };
  await expect(guess(someone(), 0, [], gone)).rejects.toMatchObject({ code: 'not_found' });
});

test('a code for an address without a budget is never put', async () => {
  await expect(
    world.database.withAccount(issuer.accountId, (tx) =>
      putCode(tx, issuer, someone(), codeOf(newId(idPrefixes.otpCode), 0)),
    ),
  ).rejects.toThrow('has no row');
});

describe('failures of an issuer', () => {
  const failure: Failure = {
    environment: 'live',
    organizationId: null,
    keyId: 'key_1',
    actor: { type: 'api_key', id: 'key_1', ip: '192.0.2.1', user_agent: null },
    requestId: 'req_1',
  };
  test('are counted of it alone, by any number at once, for an hour', async () => {
    const fail = (scope = issuer, ms = 10 * dayMs) =>
      world.database.withAccount(scope.accountId, (tx) => addFailure(tx, scope, failure, at(ms)));
    const count = (scope = issuer, ms = 10 * dayMs) =>
      world.database.withAccount(scope.accountId, (tx) => countFailures(tx, scope, at(ms)));
    await Promise.all(Array.from({ length: 100 }, () => fail()));
    await fail(stranger);
    expect([await count(), await count(sibling), await count(stranger)]).toEqual([100, 0, 1]);
    expect(await count(issuer, 10 * dayMs + hourMs)).toBe(100);
    expect(await count(issuer, 10 * dayMs + hourMs + 300_000)).toBe(0);
  });
});
