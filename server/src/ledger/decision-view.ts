import { idPrefixes } from '../ids/ids.ts';
import { areCharges, type Charge, decodeCharges } from './charge.ts';
import { idBytes, unpackId } from './id-bytes.ts';
import { readUint16, readUint32, readUint48 } from './little-endian.ts';
import { entranceOf, outcomeOf } from './outcome.ts';
import type { LedgerRecord } from './record.ts';

export const fingerprintBytes = 16;

// Body of a decision: kind (1), flags (1), outcome (1), entrance (1), time (6), cost (4), key (16), account (16), and as
// the flags say issuer, organization, lineage, fingerprint (16 each), and charges: their bytes (2), then themselves.
export const flag = {
  issuer: 1,
  organization: 2,
  lineage: 4,
  fingerprint: 8,
  sandbox: 16,
  charges: 32,
  startsBatch: 128,
} as const;
const knownFlags = 0b1011_1111;
export const keyAt = 14;
export const accountAt = keyAt + idBytes;
export const decisionBytes = accountAt + idBytes;

/** Where something is that a decision does not have. */
export const absent = -1;

/**
 * A decision as it stands in a buffer: where its parts are, with nothing made of them. A fold has no time for a record
 * of each. It holds until it is set to the next one, or the buffer is filled anew.
 */
export class DecisionView {
  buffer: Buffer = Buffer.alloc(0);
  flags = 0;
  /** Numbers, as in outcome.ts. */
  outcome = 0;
  entrance = 0;
  /** As in a LedgerRecord. */
  timeMs = 0;
  cost = 0;
  /** Where 16 bytes of each begin, or `absent`. Key, account, issuer and organization follow each other. */
  keyAt = 0;
  accountAt = 0;
  issuerAt = absent;
  organizationAt = absent;
  /** Of the key itself, where it is the first of its line. */
  lineageAt = 0;
  fingerprintAt = absent;
  /** The same where there are none. */
  chargesAt = 0;
  chargesEnd = 0;

  get isSandbox(): boolean {
    return (this.flags & flag.sandbox) !== 0;
  }

  /**
   * @param body where the body begins
   * @param end where the record ends
   * @returns false for one that only a newer version understands: skipping it would be a decision that is not counted
   */
  set(buffer: Buffer, body: number, end: number): boolean {
    const flags = buffer[body + 1]!;
    if ((flags & ~knownFlags) !== 0 || end - body < decisionBytes) return false;
    this.buffer = buffer;
    this.flags = flags;
    this.outcome = buffer[body + 2]!;
    this.entrance = buffer[body + 3]!;
    if (outcomeOf(this.outcome) === undefined || entranceOf(this.entrance) === undefined) return false;
    this.timeMs = readUint48(buffer, body + 4);
    this.cost = readUint32(buffer, body + 10);
    this.keyAt = body + keyAt;
    this.accountAt = body + accountAt;
    let next = body + decisionBytes;
    this.issuerAt = (flags & flag.issuer) === 0 ? absent : next;
    if (this.issuerAt !== absent) next += idBytes;
    this.organizationAt = (flags & flag.organization) === 0 ? absent : next;
    if (this.organizationAt !== absent) next += idBytes;
    this.lineageAt = (flags & flag.lineage) === 0 ? this.keyAt : next;
    if (this.lineageAt !== this.keyAt) next += idBytes;
    this.fingerprintAt = (flags & flag.fingerprint) === 0 ? absent : next;
    if (this.fingerprintAt !== absent) next += fingerprintBytes;
    this.chargesAt = next;
    this.chargesEnd = next;
    if ((flags & flag.charges) === 0) return next <= end;
    if (next + 2 > end) return false;
    this.chargesAt = next + 2;
    this.chargesEnd = this.chargesAt + readUint16(buffer, next);
    return this.chargesEnd <= end && areCharges(buffer, this.chargesAt, this.chargesEnd);
  }

  charges(): readonly Charge[] {
    if (this.chargesAt === this.chargesEnd) return noCharges;
    return decodeCharges(this, this.buffer, this.chargesAt, this.chargesEnd);
  }

  /** A copy: the buffer is filled again and again. null where there is none. */
  fingerprint(): Uint8Array | null {
    const { fingerprintAt: at } = this;
    return at === absent ? null : new Uint8Array(this.buffer.subarray(at, at + fingerprintBytes));
  }

  record(): LedgerRecord {
    const { buffer, issuerAt, organizationAt } = this;
    return {
      timeMs: this.timeMs,
      keyId: unpackId(idPrefixes.apiKey, buffer, this.keyAt),
      lineageId: unpackId(idPrefixes.apiKey, buffer, this.lineageAt),
      accountId: unpackId(idPrefixes.account, buffer, this.accountAt),
      issuerId: issuerAt === absent ? null : unpackId(idPrefixes.issuer, buffer, issuerAt),
      organizationId:
        organizationAt === absent ? null : unpackId(idPrefixes.organization, buffer, organizationAt),
      environment: this.isSandbox ? 'sandbox' : 'live',
      outcome: outcomeOf(this.outcome)!,
      cost: this.cost,
      entrance: entranceOf(this.entrance)!,
      fingerprint: this.fingerprint(),
      charges: this.charges(),
    };
  }
}

const noCharges: readonly Charge[] = Object.freeze([]);
