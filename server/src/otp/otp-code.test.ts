import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { codeDigits, isSameMac, macOfCode, macOfNoCode, newCode } from './otp-code.ts';
import { otpLimits } from './otp-limits.ts';

const key = Buffer.alloc(32, 7);
const place = { issuerId: 'i_1', addressDigest: Buffer.alloc(32, 1), codeId: 'otc_1' };

test.each([6, 7, 8])('a code has %i decimal digits, leading zeros among them', (digits) => {
  const codes = Array.from({ length: 2_000 }, () => newCode(digits));
  expect(codes.every((code) => new RegExp(`^[0-9]{${digits}}$`).test(code))).toBe(true);
  expect(codes.some((code) => code.startsWith('0'))).toBe(true);
  expect(new Set(codes).size).toBeGreaterThan(1_900);
});

test('a mac is of one code at one place under one key', () => {
  const mac = macOfCode(key, '123456', place);
  expect(isSameMac(mac, macOfCode(key, '123456', { ...place }))).toBe(true);
  const others = [
    macOfCode(key, '123457', place),
    macOfCode(key, '0123456', place),
    macOfCode(Buffer.alloc(32, 8), '123456', place),
    macOfCode(key, '123456', { ...place, issuerId: 'i_2' }),
    macOfCode(key, '123456', { ...place, codeId: 'otc_2' }),
    macOfCode(key, '123456', { ...place, addressDigest: randomBytes(32) }),
    macOfNoCode(),
    mac.subarray(1),
  ];
  for (const other of others) expect(isSameMac(mac, other)).toBe(false);
});

test('codes are long while guesses are sprayed over an issuer, and as set otherwise', () => {
  const { failuresBeforeLongCodes: threshold } = otpLimits;
  expect([6, 7, 8].map((digits) => codeDigits(digits, threshold - 1))).toEqual([6, 7, 8]);
  expect([6, 7, 8].map((digits) => codeDigits(digits, threshold))).toEqual([8, 8, 8]);
});
