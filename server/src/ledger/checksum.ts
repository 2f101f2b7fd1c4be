/**
 * CRC-32 as zlib's, of a part of a buffer. Records are short, and for those zlib's own takes twice as long: it wants a
 * view made of each part, and a call out of JavaScript.
 *
 * @param seed as zlib takes it: the checksum of what comes before, or whatever sets one file's records apart
 */
export function crc32Of(buffer: Uint8Array, at: number, end: number, seed: number): number {
  let crc = ~seed;
  let next = at;
  // Eight bytes at a time, each by a table of its own ("slicing by 8").
  for (const last = end - 7; next < last; next += 8) {
    const low =
      crc ^
      (buffer[next]! | (buffer[next + 1]! << 8) | (buffer[next + 2]! << 16) | (buffer[next + 3]! << 24));
    crc =
      table7[low & 255]! ^
      table6[(low >>> 8) & 255]! ^
      table5[(low >>> 16) & 255]! ^
      table4[low >>> 24]! ^
      table3[buffer[next + 4]!]! ^
      table2[buffer[next + 5]!]! ^
      table1[buffer[next + 6]!]! ^
      table0[buffer[next + 7]!]!;
  }
  while (next < end) crc = table0[(crc ^ buffer[next++]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const polynomial = 0xedb88320;
const table0 = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial;
  return crc;
});
const table1 = shifted(table0);
const table2 = shifted(table1);
const table3 = shifted(table2);
const table4 = shifted(table3);
const table5 = shifted(table4);
const table6 = shifted(table5);
const table7 = shifted(table6);

/** What a byte comes to when another zero byte follows. */
function shifted(table: Int32Array): Int32Array {
  return table.map((crc) => (crc >>> 8) ^ table0[crc & 255]!);
}
