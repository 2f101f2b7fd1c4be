import { afterAll, describe, expect, test } from 'vitest';
import { OtpWorld, someone } from './fixtures/otp-world.ts';
import { putCode, settleSends } from './otp-store.ts';

/*
 * A node's clock was ahead, for a moment or for years, and has taken from budgets: nobody is to be kept out until that time
 * has come.
 */

const world = await OtpWorld.make();
afterAll(() => world[Symbol.asyncDispose]());
const [issuer] = world.issuers;

const hourMs = 3_600_000;
const nowMs = Date.parse('2026-11-21T12:00:00.000Z');
const at = (ms: number) => new Date(nowMs + ms);
const aheads = [
  ['six minutes', 360_000],
  ['a year', 365 * 24 * hourMs],
  ['as far as a clock can be', 8.64e15 - nowMs],
] as const;

describe.each(aheads)('by %s', (_name, aheadMs) => {
  test('sends are free again an hour after the clock is right', async () => {
    const address = someone();
    const [key, ip] = [someone(), someone()];
    const devices = [await world.addDevice(issuer, address, at(8.64e15 - nowMs))];
    for (let count = 0; count < 7; count++)
      await world.send(issuer, { address, key, ip, devices }, at(aheadMs - 420_000 + count * 60_000));
    const subjects = { address, key, ip, devices };
    const refused = await world.send(issuer, subjects, at(-120_000));
    expect(refused).toEqual({ isTaken: false, waitSeconds: 3_600, isAhead: true });
    await settleSends(world.database.lookups, issuer, subjects, at(-120_000));
    expect(await world.send(issuer, subjects, at(0))).toEqual({
      isTaken: false,
      waitSeconds: 3_480,
      isAhead: false,
    });
    expect(await world.send(issuer, subjects, at(hourMs - 120_000))).toEqual({ isTaken: true });
  });

  test('a budget that has room is settled by whoever takes from it', async () => {
    const address = someone();
    const devices = [await world.addDevice(issuer, address, at(8.64e15 - nowMs))];
    for (let count = 0; count < 2; count++)
      await world.send(issuer, { address, ip: someone() }, at(aheadMs - 60_000 + count * 60_000));
    // Nobody has to wait longer than between any two.
    const first = await world.send(issuer, { address, devices }, at(-360_000));
    expect(first).toMatchObject({ isTaken: false, waitSeconds: 60, isAhead: true });
    const [key, ip] = [someone(), someone()];
    await settleSends(world.database.lookups, issuer, { address, key, ip }, at(-360_000));
    expect(await world.send(issuer, { address }, at(-300_000))).toEqual({ isTaken: true });
    const [row] = await world.rows.query<{ latest: Date }>(
      'select sends[cardinality(sends)] as latest from otp_addresses where address = $1',
      [address],
    );
    expect(row!.latest).toEqual(at(-300_000));
  });

  test('guesses are free again an hour, or a day, after they were refused', async () => {
    const address = someone();
    const ip = someone();
    for (let window = 0; window < 2; window++)
      for (let count = 0; count < 5; count++)
        await world.guess(issuer, { address, ip }, at(aheadMs - 700_000 + window * 700_000));
    expect(await world.guess(issuer, { address, ip }, at(-360_000))).toMatchObject({
      isCounted: false,
      waitSeconds: 3_600,
    });
    expect(await world.guess(issuer, { address, ip }, at(0))).toMatchObject({
      isCounted: false,
      waitSeconds: 3_240,
    });
    expect(await world.guess(issuer, { address, ip }, at(hourMs - 360_000))).toMatchObject({
      isCounted: true,
    });
  });

  test('a network may guess again an hour after it was refused', async () => {
    const ip = someone();
    for (let count = 0; count < 240; count += 20)
      await Promise.all(
        Array.from({ length: 20 }, () => world.guess(issuer, { address: someone(), ip }, at(aheadMs))),
      );
    const ask = (ms: number) => world.guess(issuer, { address: someone(), ip }, at(ms));
    expect(await ask(0)).toEqual({ isCounted: false, waitSeconds: 3_600 });
    expect(await ask(1_000)).toEqual({ isCounted: false, waitSeconds: 3_599 });
    expect(await ask(hourMs)).toMatchObject({ isCounted: true });
  });

  test('a cap is free again an hour after somebody was refused', async () => {
    const everywhere = someone();
    const ask = (ms: number) => world.cap(issuer, { address: someone(), everywhere }, at(ms));
    for (let count = 0; count < 10; count++) await ask(aheadMs);
    expect([await ask(0), await ask(hourMs - 1), await ask(hourMs)]).toEqual([true, true, false]);
  });

  test('a code is good for no longer than codes may be', async () => {
    if (aheadMs < hourMs) return;
    const address = someone();
    const expiresAt = new Date(Math.min(nowMs + aheadMs + 600_000, 8.64e15));
    await world.send(issuer, { address }, at(aheadMs));
    await world.database.withAccount(issuer.accountId, (tx) =>
      putCode(tx, issuer, address, {
        id: 'otp_1',
        mac: someone(),
        generation: 1,
        expiresAt,
        isCapped: false,
      }),
    );
    expect(await world.guess(issuer, { address }, at(0))).toMatchObject({ isCounted: true, code: null });
  });
});

test('a clock that is ahead by less takes as any', async () => {
  const address = someone();
  const everywhere = someone();
  await world.send(issuer, { address }, at(60_000));
  expect(await world.send(issuer, { address }, at(0))).toMatchObject({ waitSeconds: 60, isAhead: false });
  for (let count = 0; count < 10; count++) await world.cap(issuer, { address, everywhere }, at(240_000));
  expect(await world.cap(issuer, { address: someone(), everywhere }, at(hourMs))).toBe(true);
  expect(await world.cap(issuer, { address: someone(), everywhere }, at(hourMs + 240_000))).toBe(false);
});
