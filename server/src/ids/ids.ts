import { randomBytes } from 'node:crypto';

/** Every prefix an id of Gatelodge can have, by the noun it names. */
export const idPrefixes = {
  account: 'acc_',
  issuer: 'i_',
  organization: 'org_',
  apiKey: 'key_',
  event: 'evt_',
  request: 'req_',
  member: 'mem_',
  supportGrant: 'sup_',
  node: 'node_',
} as const;

export type IdPrefix = (typeof idPrefixes)[keyof typeof idPrefixes];

const base36Length = 25;
const idBody = /^[0-9a-z]{25}$/;

let lastTimestamp = 0n;

/**
 * Makes an id: the prefix and 25 base36 characters of a UUIDv7 (RFC 9562 §5.7).
 *
 * Ids made by one process sort in the order they were made, also within a millisecond: the 12 bits of `rand_a`
 * carry the fraction of the millisecond and are counted up when the clock has not moved (RFC 9562 §6.2, method 3).
 */
export function newId(prefix: IdPrefix): string {
  const random = randomBytes(8).readBigUInt64BE() & 0x3fff_ffff_ffff_ffffn;
  const timestamp = nextTimestamp();
  const milliseconds = timestamp >> 12n;
  const fraction = timestamp & 0xfffn;
  const uuid = (milliseconds << 80n) | (0x7n << 76n) | (fraction << 64n) | (0x2n << 62n) | random;
  return prefix + uuid.toString(36).padStart(base36Length, '0');
}

/** Says whether `value` has the form of an id with this prefix; it says nothing about whether such an object exists. */
export function isId(prefix: IdPrefix, value: string): boolean {
  return value.startsWith(prefix) && idBody.test(value.slice(prefix.length));
}

/** Milliseconds since 1970 and 12 bits of the next millisecond, strictly rising within this process. */
function nextTimestamp(): bigint {
  const nowMs = performance.timeOrigin + performance.now();
  const wallMs = Date.now();
  // The monotonic clock gives the fraction; the wall clock wins where the two have drifted apart.
  const whole = Math.floor(nowMs) === wallMs ? Math.floor(nowMs) : wallMs;
  const fraction = Math.floor((nowMs - Math.floor(nowMs)) * 4096);
  const candidate = (BigInt(whole) << 12n) | BigInt(fraction);
  lastTimestamp = candidate > lastTimestamp ? candidate : lastTimestamp + 1n;
  return lastTimestamp;
}
