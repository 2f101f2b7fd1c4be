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
  for (let word = 0; word < words.length; word++) {
    words[word] = buffer[at + 2 * word]! * 0x100 + buffer[at + 2 * word + 1]!;
  }
  let body = '';
  for (let group = 0; group < idLength; group += groupLength) {
    let remainder = 0;
    for (let word = 0; word < words.length; word++) {
      const dividend = remainder * 0x10000 + words[word]!;
      const quotient = Math.floor(dividend / groupBase);
      words[word] = quotient;
      remainder = dividend - quotient * groupBase;
    }
    body = remainder.toString(36).padStart(groupLength, '0') + body;
  }
  return prefix + body;
}

const idLength = 25;
const groupLength = 5;
const groupBase = 36 ** groupLength;

const limbBase = 2 ** 26;
const words = new Uint16Array(8);

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
