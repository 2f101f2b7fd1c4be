import type { IdPrefix } from '../ids/ids.ts';
import { idBytes, packId } from './id-bytes.ts';

/** The UUID of an id as 32 hex digits. */
export function idHex(prefix: IdPrefix, id: string): string {
  const packed = Buffer.alloc(idBytes);
  packId(prefix, id, packed, 0);
  return packed.toString('hex');
}
