import { type CounterPeriod, windowOfPeriod } from '../limits/counter-period.ts';
import type { LevelKind } from '../limits/limits.ts';
import { type Window, type WindowSpan, windowAt } from '../limits/window.ts';
import { readUint48, writeUint48 } from './little-endian.ts';
import type { LedgerRecord } from './record.ts';

/**
 * What an admitted decision took from one limit: what a LimitState says of it, so that those of an admission stand in a
 * record as they are. The level's id is the record's own of that kind, for keys the lineage's; its environment is the
 * record's.
 */
export interface Charge {
  readonly level: { readonly kind: LevelKind };
  /** As `limitNamePattern` has it. */
  readonly name: string;
  readonly period: CounterPeriod;
  /** Unix seconds. */
  readonly windowStart: number;
  /** 0 to 2^48 - 1. One of 0 took nothing and is left out. */
  readonly cost: number;
}

/** No charge takes more; eleven limits at each of four levels do not fill a record. */
export const maxChargeBytes = 78;

/** Numbers as in outcome.ts: never given to another. Of kinds there are two bits, of periods three. */
const kindNumbers = { key: 0, organization: 1, issuer: 2, account: 3 } as const satisfies Record<
  LevelKind,
  number
>;
const periodNumbers = {
  second: 0,
  minute: 1,
  hour: 2,
  day: 3,
  month: 4,
  quota: 5,
  'quota-day': 6,
  'quota-month': 7,
} as const satisfies Record<CounterPeriod, number>;

// A charge: kind (bits 0 and 1), period (2 to 4) and flags (1 byte), bytes of the name (1), name in ASCII, and as the
// flags say cost and start (6 each). Without them it is the record's cost, and the window its time lies in.
const flag = { ownCost: 32, ownStart: 64 } as const;
const unknownFlags = 128;
const maxNameBytes = 64;

/** Whether one of them took something. */
export function hasCharges(charges: readonly Charge[]): boolean {
  for (const { cost } of charges) {
    if (cost !== 0) return true;
  }
  return false;
}

/**
 * Writes those that took something, one after the other, and allocates nothing.
 *
 * @param record what they belong to
 * @param at where in `buffer` they begin
 * @returns where they end
 * @throws {RangeError} for what is no charge
 */
export function encodeCharges(
  record: Pick<LedgerRecord, 'charges' | 'timeMs' | 'cost' | 'organizationId' | 'issuerId'>,
  buffer: Uint8Array,
  at: number,
): number {
  const { timeMs, cost: usualCost } = record;
  let next = at;
  for (const { level, name, period, windowStart, cost } of record.charges) {
    if (cost === 0) continue;
    if (lacks(record, level.kind)) throw new RangeError(`the record names no ${level.kind} to charge`);
    const hasOwnCost = cost !== usualCost;
    const periodNumber = numberOf(periodNumbers, period);
    const hasOwnStart = windowStart !== usualStart(period, timeMs);
    buffer[next] =
      numberOf(kindNumbers, level.kind) |
      (periodNumber << 2) |
      (hasOwnCost ? flag.ownCost : 0) |
      (hasOwnStart ? flag.ownStart : 0);
    next = writeName(name, buffer, next + 1);
    if (hasOwnCost) {
      writeUint48(buffer, next, cost);
      next += 6;
    }
    if (hasOwnStart) {
      writeUint48(buffer, next, windowStart);
      next += 6;
    }
  }
  return next;
}

/** Whether charges stand there that this version understands. */
export function areCharges(buffer: Uint8Array, at: number, end: number): boolean {
  let next = at;
  while (next < end) {
    const nameBytes = buffer[next + 1]!;
    const isKnown = (buffer[next]! & unknownFlags) === 0 && nameBytes > 0 && nameBytes <= maxNameBytes;
    if (!isKnown) return false;
    next = endOfCharge(buffer, next);
  }
  return next === end;
}

/** The inverse of `encodeCharges`, of what `areCharges` has found. */
export function decodeCharges(
  record: { readonly timeMs: number; readonly cost: number },
  buffer: Uint8Array,
  at: number,
  end: number,
): readonly Charge[] {
  const charges: Charge[] = [];
  for (let next = at; next < end; ) {
    const first = buffer[next]!;
    const nameEnd = next + 2 + buffer[next + 1]!;
    const chargeEnd = endOfCharge(buffer, next);
    const period = periods[(first >> 2) & 7]!;
    const hasOwnStart = (first & flag.ownStart) !== 0;
    charges.push({
      level: levels[first & 3]!,
      name: latin1(buffer, next + 2, nameEnd),
      period,
      windowStart: hasOwnStart ? readUint48(buffer, chargeEnd - 6) : usualStart(period, record.timeMs),
      cost: (first & flag.ownCost) === 0 ? record.cost : readUint48(buffer, nameEnd),
    });
    next = chargeEnd;
  }
  return charges;
}

function endOfCharge(buffer: Uint8Array, at: number): number {
  const first = buffer[at]!;
  const ownBytes = ((first & flag.ownCost) === 0 ? 0 : 6) + ((first & flag.ownStart) === 0 ? 0 : 6);
  return at + 2 + buffer[at + 1]! + ownBytes;
}

const periods = Object.keys(periodNumbers) as CounterPeriod[];
const levels = (Object.keys(kindNumbers) as LevelKind[]).map((kind) => Object.freeze({ kind }));

/** Of each window the one of the last record: the next one nearly always lies in it. */
const lastSpans: Record<Window, WindowSpan> = {
  second: { start: 0, end: 0 },
  minute: { start: 0, end: 0 },
  hour: { start: 0, end: 0 },
  day: { start: 0, end: 0 },
  month: { start: 0, end: 0 },
};

/** Where the window of a time begins; NaN, which is no start, for credits without refill. */
function usualStart(period: CounterPeriod, timeMs: number): number {
  const window = windowOfPeriod(period);
  if (window === null) return Number.NaN;
  let span = lastSpans[window];
  if (timeMs < span.start * 1000 || timeMs >= span.end * 1000) {
    span = windowAt(window, timeMs);
    lastSpans[window] = span;
  }
  return span.start;
}

function lacks(
  { organizationId, issuerId }: Pick<LedgerRecord, 'organizationId' | 'issuerId'>,
  kind: LevelKind,
) {
  return (kind === 'organization' && organizationId === null) || (kind === 'issuer' && issuerId === null);
}

function writeName(name: string, buffer: Uint8Array, at: number): number {
  const { length } = name;
  if (length === 0 || length > maxNameBytes) throw noName(name);
  buffer[at] = length;
  for (let index = 0; index < length; index++) {
    const code = name.charCodeAt(index);
    if (code <= 0x20 || code >= 0x7f) throw noName(name);
    buffer[at + 1 + index] = code;
  }
  return at + 1 + length;
}

function latin1(buffer: Uint8Array, at: number, end: number): string {
  return Buffer.from(buffer.buffer, buffer.byteOffset + at, end - at).toString('latin1');
}

function numberOf<Name extends string>(numbers: Readonly<Record<Name, number>>, name: Name): number {
  const number = numbers[name];
  if (number === undefined) throw new RangeError(`the ledger has no number for ${name}`);
  return number;
}

function noName(name: string): RangeError {
  return new RangeError(`${JSON.stringify(name)} is no name of a limit`);
}
