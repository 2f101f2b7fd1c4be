import type { IdPrefix } from '../ids/ids.ts';
import { idBytes, packId, unpackId } from './id-bytes.ts';

/** Bytes of a record as text, a character a byte: something to look up in a map by. */
export function textOf(buffer: Buffer, at: number, end: number): string {
  return buffer.toString('latin1', at, end);
}

/** The id whose 16 bytes stand in a text of that kind. */
export function idOfText(prefix: IdPrefix, text: string, at = 0): string {
  for (let index = 0; index < idBytes; index++) bytes[index] = text.charCodeAt(at + index);
  return unpackId(prefix, bytes, 0);
}

/** The UUID of an id as 32 hex digits. */
export function idHex(prefix: IdPrefix, id: string): string {
  const packed = Buffer.alloc(idBytes);
  packId(prefix, id, packed, 0);
  return packed.toString('hex');
}

const bytes = new Uint8Array(idBytes);
