/** Whole numbers as the ledger's files have them. Each `write` throws a RangeError for what has no room; none allocates. */

export function writeUint16(buffer: Uint8Array, at: number, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= 0xffff)) throw outOfRange(value, 16);
  buffer[at] = value;
  buffer[at + 1] = value >>> 8;
}

export function writeUint32(buffer: Uint8Array, at: number, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff)) throw outOfRange(value, 32);
  buffer[at] = value;
  buffer[at + 1] = value >>> 8;
  buffer[at + 2] = value >>> 16;
  buffer[at + 3] = value >>> 24;
}

export function writeUint48(buffer: Uint8Array, at: number, value: number): void {
  if (!(Number.isInteger(value) && value >= 0 && value < 2 ** 48)) throw outOfRange(value, 48);
  const high = Math.floor(value / 2 ** 32);
  writeUint32(buffer, at, value - high * 2 ** 32);
  buffer[at + 4] = high;
  buffer[at + 5] = high >>> 8;
}

export function readUint16(buffer: Uint8Array, at: number): number {
  return buffer[at]! + buffer[at + 1]! * 0x100;
}

export function readUint32(buffer: Uint8Array, at: number): number {
  return readUint16(buffer, at) + readUint16(buffer, at + 2) * 0x10000;
}

export function readUint48(buffer: Uint8Array, at: number): number {
  return readUint32(buffer, at) + readUint16(buffer, at + 4) * 2 ** 32;
}

function outOfRange(value: number, bits: number): RangeError {
  return new RangeError(`${value} is no whole number of ${bits} bits`);
}
