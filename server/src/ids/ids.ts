import { randomFillSync } from 'node:crypto';

/** Every prefix an id of Gatelodge can have, by the noun it names. */
export const idPrefixes = {
  account: 'acc_',
  issuer: 'i_',
  organization: 'org_',
  client: 'c_',
  clientSecret: 'csec_',
  user: 'usr_',
  session: 's_',
  logoutNotice: 'lgn_',
  apiKey: 'key_',
  otpCode: 'otc_',
  event: 'evt_',
  request: 'req_',
  member: 'mem_',
  group: 'grp_',
  supportGrant: 'sup_',
  signingKey: 'sig_',
  mail: 'mail_',
  importBatch: 'imp_',
  node: 'node_',
  installation: 'ins_',
} as const;

export type IdPrefix = (typeof idPrefixes)[keyof typeof idPrefixes];

const base36Length = 25;
const idBody = /^[0-9a-z]{25}$/;

/**
 * Makes an id: the prefix and 25 base36 characters of a UUIDv7 (RFC 9562 §5.7).
 *
 * Ids made by one process sort in the order they were made, also within a millisecond: the 12 bits of `rand_a`
 * carry the fraction of the millisecond and are counted up when the clock has not moved (RFC 9562 §6.2, method 3).
 */
export function newId(prefix: IdPrefix): string {
  fillUuid();
  let body = '';
  // Five digits at a time: 36^5 leaves room to divide 16 bits at a time within what a number holds exactly.
  for (let group = 0; group < base36Length; group += 5) {
    let remainder = 0;
    for (let at = 0; at < uuid.length; at++) {
      const dividend = remainder * 0x10000 + uuid[at]!;
      const quotient = Math.floor(dividend / base36Group);
      uuid[at] = quotient;
      remainder = dividend - quotient * base36Group;
    }
    body = fiveDigits(remainder) + body;
  }
  return prefix + body;
}

/** Says whether `value` has the form of an id with this prefix; it says nothing about whether such an object exists. */
export function isId(prefix: IdPrefix, value: string): boolean {
  return value.startsWith(prefix) && idBody.test(value.slice(prefix.length));
}

/**
 * The least id that can have been made at this moment or later; for looking through a trail from or up to a moment.
 *
 * @param timeMs whole milliseconds since 1970
 */
export function leastIdAt(prefix: IdPrefix, timeMs: number): string {
  const uuid = BigInt(timeMs) << 80n;
  return prefix + uuid.toString(36).padStart(base36Length, '0');
}

/** `00` to `zz`: two digits at a time are three look-ups where `toString(36)` and padding are ten steps. */
const digitPairs = Array.from({ length: 36 * 36 }, (_, pair) => pair.toString(36).padStart(2, '0'));

function fiveDigits(value: number): string {
  const pairs = Math.floor(value / 36);
  const high = Math.floor(pairs / digitPairs.length);
  return digitPairs[high]! + digitPairs[pairs - high * digitPairs.length]! + (value % 36).toString(36);
}

/** The UUID that is being written, 16 bits at a time, the most significant first. */
const uuid = new Uint16Array(8);
const base36Group = 36 ** 5;

// The CSPRNG is asked for many ids at once: a call costs more than the bytes. Each byte is used once.
const randomPool = new Uint16Array(2048);
let randomAt = randomPool.length;

let lastMs = 0;
let lastFraction = 0;

function fillUuid(): void {
  moveClock();
  if (randomAt === randomPool.length) {
    randomFillSync(randomPool);
    randomAt = 0;
  }
  uuid[0] = Math.floor(lastMs / 0x1_0000_0000);
  uuid[1] = Math.floor(lastMs / 0x1_0000) % 0x1_0000;
  uuid[2] = lastMs % 0x1_0000;
  uuid[3] = 0x7000 | lastFraction;
  uuid[4] = 0x8000 | (randomPool[randomAt]! & 0x3fff);
  uuid[5] = randomPool[randomAt + 1]!;
  uuid[6] = randomPool[randomAt + 2]!;
  uuid[7] = randomPool[randomAt + 3]!;
  randomAt += 4;
}

/** Milliseconds since 1970 and the fraction of the next one in 4096ths, strictly rising within this process. */
function moveClock(): void {
  const wallMs = Date.now();
  const preciseMs = performance.timeOrigin + performance.now();
  // The monotonic clock gives the fraction; the wall clock wins where the two have drifted apart.
  const fraction = Math.floor(preciseMs) === wallMs ? Math.floor((preciseMs - wallMs) * 4096) : 0;
  if (wallMs > lastMs || (wallMs === lastMs && fraction > lastFraction)) {
    lastMs = wallMs;
    lastFraction = fraction;
  } else if (lastFraction < 4095) lastFraction++;
  else {
    lastMs++;
    lastFraction = 0;
  }
}
