import { randomFillSync } from 'node:crypto';
import { idPrefixes } from '../ids/ids.ts';
import { idBytes, unpackId } from './id-bytes.ts';

/**
 * The id of an event of the past: a UUIDv7 (RFC 9562 §5.7) of that millisecond, random in its other 74 bits, so that it
 * stands among other events where it belongs.
 *
 * @param timeMs whole milliseconds since 1970
 */
export function eventIdAt(timeMs: number): string {
  if (randomAt === randomPool.length) {
    randomFillSync(randomPool);
    randomAt = 0;
  }
  bytes.writeUIntBE(timeMs, 0, 6);
  randomPool.copy(bytes, 6, randomAt, randomAt + randomBytes);
  randomAt += randomBytes;
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  return unpackId(idPrefixes.event, bytes, 0);
}

const bytes = Buffer.alloc(idBytes);
const randomBytes = 10;
/** The CSPRNG is asked for many at once: a call costs more than the bytes. Each byte is used once. */
const randomPool = Buffer.alloc(randomBytes * 256);
let randomAt = randomPool.length;
