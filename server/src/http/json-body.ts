import { AppError } from '../errors.ts';

const maxDepth = 32;

/** Strict: bytes that are no UTF-8 would else become U+FFFD and be stored as if they had been meant. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses a JSON body; an empty one is undefined (a GET or an action may say application/json and send nothing).
 *
 * @throws malformed_json (400), also for what is no UTF-8 (RFC 8259 §8.1), for `__proto__` as a member, which has no
 *   honest use, and for nesting deeper than 32, which nothing here needs and recursive code further in would have to
 *   be guarded against
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new AppError('malformed_json', { cause });
  }
  refuseHostileShape(value);
  return value;
}

/** Walks level by level rather than by recursion: the depth is what is in doubt. */
function refuseHostileShape(root: unknown): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth)
      throw new AppError('malformed_json', { detail: `The body is nested deeper than ${maxDepth}.` });
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      if (Object.hasOwn(value, '__proto__')) {
        throw new AppError('malformed_json', { detail: 'The body has a member called __proto__.' });
      }
      for (const inner of Object.values(value))
        if (typeof inner === 'object' && inner !== null) next.push(inner);
    }
    level = next;
  }
}
