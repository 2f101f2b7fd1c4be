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
  limbs.fill(0);
  let next = prefix.length;
  for (let group = 0; group < idLength; group += groupLength) {
    let carry = 0;
    for (let digit = 0; digit < groupLength; digit++) {
      const value = digitValues[id.charCodeAt(next++)] ?? noDigit;
      if (value === noDigit) throw noId(prefix, id);
      carry = carry * 36 + value;
    }
    // So many groups fill so many limbs; those above are still zero.
    const filled = 2 + group / groupLength;
    for (let limb = 0; limb < filled; limb++) {
      const product = limbs[limb]! * groupBase + carry;
      carry = Math.floor(product / limbBase);
      limbs[limb] = product - carry * limbBase;
    }
  }
  // The sixth limb holds the first of the 16 bytes; more than a byte there is more than a UUID.
  const first = limbs[5]!;
  if (first > 0xff) throw noId(prefix, id);
  buffer[at] = first;
  for (let limb = 0; limb < 5; limb++) {
    const value = limbs[limb]!;
    const end = at + idBytes - 3 * limb;
    buffer[end - 3] = value >>> 16;
    buffer[end - 2] = value >>> 8;
    buffer[end - 1] = value;
  }
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

/** 24 bits at a time, the least significant first: a limb times a group stays within what a number holds exactly. */
const limbs = new Float64Array(6);
const limbBase = 0x1000000;
const words = new Uint16Array(8);

const noDigit = 36;
const digitValues = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = String.fromCharCode(code);
  return /[0-9a-z]/.test(digit) ? Number.parseInt(digit, 36) : noDigit;
});

function noId(prefix: IdPrefix, id: string): RangeError {
  return new RangeError(`${JSON.stringify(id)} is no id with the prefix ${prefix}`);
}
