import { createHmac, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import { longCodeDigits, otpLimits } from './otp-limits.ts';

/** What a code is bound to: nowhere else it is one. */
export interface CodePlace {
  readonly issuerId: string;
  readonly addressDigest: Buffer;
  readonly codeId: string;
}

const macBytes = 32;

/** A code of so many decimal digits from the CSPRNG, each as likely as any other. */
export function newCode(digits: number): string {
  return String(randomInt(10 ** digits)).padStart(digits, '0');
}

/**
 * How many digits a new code has.
 *
 * @param configured the issuer's setting, 6 to 8
 * @param failures wrong guesses at its codes within the last hour
 */
export function codeDigits(configured: number, failures: number): number {
  return failures >= otpLimits.failuresBeforeLongCodes ? longCodeDigits : configured;
}

/** What is stored of a code: there are so few of them that only a digest under a key keeps it. */
export function macOfCode(
  key: Uint8Array,
  code: string,
  { issuerId, addressDigest, codeId }: CodePlace,
): Buffer {
  return createHmac('sha256', hmacKeyOf(key))
    .update(`otp code\0${issuerId}\0${codeId}\0`)
    .update(addressDigest)
    .update(`\0${code}`)
    .digest();
}

/** In constant time. */
export function isSameMac(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Takes the place of a mac where there is no code to be right: nobody's digest, so no guess meets it. */
export function macOfNoCode(): Buffer {
  return randomBytes(macBytes);
}
