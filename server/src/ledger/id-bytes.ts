import type { IdPrefix } from '../ids/ids.ts';

/** Bytes of an id without its prefix: the UUID that its 25 base36 characters spell. */
export const idBytes = 16;

/**
 * Writes the UUID of an id, 16 bytes instead of 25 characters. Nothing is allocated.
 *
 * @param at where in `buffer` it begins
 * @throws {RangeError} when `id` is not `prefix` and a UUID; some of `buffer` may be written by then
 */
export function packId(prefix: IdPrefix, id: string, buffer: Uint8Array, at: number): void {
  if (id.length !== prefix.length + idLength || !id.startsWith(prefix)) throw noId(prefix, id);
  // Of 26 bits each, the least significant first: a limb times a group stays within what a number holds exactly, and a
  // group fills no more than one further limb.
  let limb1 = 0;
  let limb2 = 0;
  let limb3 = 0;
  let limb4 = 0;
  let next = prefix.length;
  let limb0 = groupAt(prefix, id, next);
  next += groupLength;

  let product = limb0 * groupBase + groupAt(prefix, id, next);
  limb1 = Math.floor(product / limbBase);
  limb0 = product - limb1 * limbBase;
  next += groupLength;

  product = limb0 * groupBase + groupAt(prefix, id, next);
  let carry = Math.floor(product / limbBase);
  limb0 = product - carry * limbBase;
  product = limb1 * groupBase + carry;
  limb2 = Math.floor(product / limbBase);
  limb1 = product - limb2 * limbBase;
  next += groupLength;

  product = limb0 * groupBase + groupAt(prefix, id, next);
  carry = Math.floor(product / limbBase);
  limb0 = product - carry * limbBase;
  product = limb1 * groupBase + carry;
  carry = Math.floor(product / limbBase);
  limb1 = product - carry * limbBase;
  product = limb2 * groupBase + carry;
  limb3 = Math.floor(product / limbBase);
  limb2 = product - limb3 * limbBase;
  next += groupLength;

  product = limb0 * groupBase + groupAt(prefix, id, next);
  carry = Math.floor(product / limbBase);
  limb0 = product - carry * limbBase;
  product = limb1 * groupBase + carry;
  carry = Math.floor(product / limbBase);
  limb1 = product - carry * limbBase;
  product = limb2 * groupBase + carry;
  carry = Math.floor(product / limbBase);
  limb2 = product - carry * limbBase;
  product = limb3 * groupBase + carry;
  limb4 = Math.floor(product / limbBase);
  limb3 = product - limb4 * limbBase;

  // Four limbs have 104 bits, so the last holds 24 of the 128; more than that is more than a UUID.
  if (limb4 > 0xff_ffff) throw noId(prefix, id);
  buffer[at] = limb4 >>> 16;
  buffer[at + 1] = limb4 >>> 8;
  buffer[at + 2] = limb4;
  buffer[at + 3] = limb3 >>> 18;
  buffer[at + 4] = limb3 >>> 10;
  buffer[at + 5] = limb3 >>> 2;
  buffer[at + 6] = (limb3 << 6) | (limb2 >>> 20);
  buffer[at + 7] = limb2 >>> 12;
  buffer[at + 8] = limb2 >>> 4;
  buffer[at + 9] = (limb2 << 4) | (limb1 >>> 22);
  buffer[at + 10] = limb1 >>> 14;
  buffer[at + 11] = limb1 >>> 6;
  buffer[at + 12] = (limb1 << 2) | (limb0 >>> 24);
  buffer[at + 13] = limb0 >>> 16;
  buffer[at + 14] = limb0 >>> 8;
  buffer[at + 15] = limb0;
}

/** The id whose UUID stands at `at`, the inverse of `packId`. */
export function unpackId(prefix: IdPrefix, buffer: Uint8Array, at: number): string {
  // As in `packId`, the most significant limb being `limb4`. A quotient is less than its limb, so that the first ones
  // come to nothing before the others do.
  let limb4 = (buffer[at]! << 16) | (buffer[at + 1]! << 8) | buffer[at + 2]!;
  let limb3 =
    (buffer[at + 3]! << 18) | (buffer[at + 4]! << 10) | (buffer[at + 5]! << 2) | (buffer[at + 6]! >>> 6);
  let limb2 =
    ((buffer[at + 6]! & 63) << 20) |
    (buffer[at + 7]! << 12) |
    (buffer[at + 8]! << 4) |
    (buffer[at + 9]! >>> 4);
  let limb1 =
    ((buffer[at + 9]! & 15) << 22) |
    (buffer[at + 10]! << 14) |
    (buffer[at + 11]! << 6) |
    (buffer[at + 12]! >>> 2);
  let limb0 =
    ((buffer[at + 12]! & 3) << 24) | (buffer[at + 13]! << 16) | (buffer[at + 14]! << 8) | buffer[at + 15]!;
  for (let end = idLength; end > 0; end -= groupLength) {
    let quotient = Math.floor(limb4 / groupBase);
    let remainder = limb4 - quotient * groupBase;
    limb4 = quotient;

    let dividend = remainder * limbBase + limb3;
    quotient = Math.floor(dividend / groupBase);
    remainder = dividend - quotient * groupBase;
    limb3 = quotient;

    dividend = remainder * limbBase + limb2;
    quotient = Math.floor(dividend / groupBase);
    remainder = dividend - quotient * groupBase;
    limb2 = quotient;

    dividend = remainder * limbBase + limb1;
    quotient = Math.floor(dividend / groupBase);
    remainder = dividend - quotient * groupBase;
    limb1 = quotient;

    dividend = remainder * limbBase + limb0;
    quotient = Math.floor(dividend / groupBase);
    remainder = dividend - quotient * groupBase;
    limb0 = quotient;

    writeDigits(remainder, end);
  }
  return prefix + text.toString('latin1');
}

/** Five digits that end there; in bytes, since a string of as many pieces would be a tree. */
function writeDigits(value: number, end: number): void {
  const pairs = Math.floor(value / 36);
  const high = Math.floor(pairs / 1296);
  const low = pairs - high * 1296;
  text[end - 1] = digitCodes[value - pairs * 36]!;
  text[end - 2] = digitCodes[low % 36]!;
  text[end - 3] = digitCodes[(low / 36) | 0]!;
  text[end - 4] = digitCodes[high % 36]!;
  text[end - 5] = digitCodes[(high / 36) | 0]!;
}

const digitCodes = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz');

const idLength = 25;
const text = Buffer.alloc(idLength);
const groupLength = 5;
const groupBase = 36 ** groupLength;

const limbBase = 2 ** 26;

/** What the five digits from there on spell; 36^5 is less than 2^26. */
function groupAt(prefix: IdPrefix, id: string, at: number): number {
  const first = digitOf(id.charCodeAt(at));
  const second = digitOf(id.charCodeAt(at + 1));
  const third = digitOf(id.charCodeAt(at + 2));
  const fourth = digitOf(id.charCodeAt(at + 3));
  const fifth = digitOf(id.charCodeAt(at + 4));
  if ((first | second | third | fourth | fifth) >= noDigit) throw noId(prefix, id);
  return (((first * 36 + second) * 36 + third) * 36 + fourth) * 36 + fifth;
}

function digitOf(code: number): number {
  return code < 128 ? digitValues[code]! : noDigit;
}

/** Above any combination of digits. */
const noDigit = 64;
const digitValues = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = String.fromCharCode(code);
  return /[0-9a-z]/.test(digit) ? Number.parseInt(digit, 36) : noDigit;
});

function noId(prefix: IdPrefix, id: string): RangeError {
  return new RangeError(`${JSON.stringify(id)} is no id with the prefix ${prefix}`);
}
