import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { invalidField } from '../errors.ts';

export const defaultLimit = 50;
export const maxLimit = 100;
/** Holds the longest name there can be, each character of it escaped, and an id. */
export const maxCursorLength = 2048;

/** The query members that every list takes. */
export const pageQuery = {
  limit: z
    .preprocess(pageSize, z.int().min(1).max(maxLimit))
    .default(defaultLimit)
    .describe('How many items a page has.'),
  cursor: z
    .string()
    .max(maxCursorLength)
    .optional()
    .describe('`next_cursor` of the page before; only with the same query.'),
};

/** Digits and nothing else: `Number` also reads `0x10`, `1e1`, ` 7 ` and the empty text. */
function pageSize(value: unknown, context: z.RefinementCtx): number {
  const size = typeof value === 'string' && /^[0-9]{1,3}$/.test(value) ? Number(value) : 0;
  if (size >= 1 && size <= maxLimit) return size;
  context.addIssue({ code: 'custom', message: `must be a whole number from 1 to ${maxLimit}` });
  return z.NEVER;
}

/** One page of a list, in the envelope of the contract. */
export interface Page<T> {
  data: T[];
  has_more: boolean;
  next_cursor: string | null;
}

/** The schema of a list answer whose items are `item`. */
export function pageOf<T extends z.ZodType>(item: T) {
  const page = z.object({ data: z.array(item), has_more: z.boolean(), next_cursor: z.string().nullable() });
  const id = z.globalRegistry.get(item)?.id;
  return id === undefined ? page : page.meta({ id: `${id}Page` });
}

/** Where a page ended: the values of the sort columns of its last row, the id last. */
export type CursorPosition = string[];

/**
 * Makes and reads the opaque cursors of one list with one query.
 *
 * A cursor is the position and an HMAC over it and everything that decides what the list contains, so it can't be
 * forged, nor used with another filter, another list, another account or by another installation.
 */
export class CursorCodec {
  readonly #key: Buffer;
  readonly #scope: string;
  readonly #acceptedKeys: readonly Buffer[];

  /** @param acceptedKeys made cursors that still hold, beside `key`, which makes new ones: its other generations */
  constructor(key: Buffer, scope: readonly unknown[], acceptedKeys: readonly Buffer[] = []) {
    this.#key = key;
    this.#acceptedKeys = [key, ...acceptedKeys];
    this.#scope = createHash('sha256').update(JSON.stringify(scope)).digest('base64url');
  }

  encode(position: CursorPosition): string {
    const payload = Buffer.from(JSON.stringify(position)).toString('base64url');
    return `${payload}.${this.#tag(payload, this.#key)}`;
  }

  /** Throws `invalid_request` for anything that `encode` with an accepted key and the same scope did not make. */
  decode(cursor: string): CursorPosition {
    const [payload, tag, ...rest] = cursor.split('.');
    if (payload && tag && rest.length === 0) {
      // As text: base64url has several spellings of the same bytes, and only one of them was given out.
      const given = Buffer.from(tag);
      const isOurs = this.#acceptedKeys.some((key) => {
        const expected = Buffer.from(this.#tag(payload, key));
        return given.length === expected.length && timingSafeEqual(given, expected);
      });
      if (isOurs) return JSON.parse(Buffer.from(payload, 'base64url').toString()) as CursorPosition;
    }
    throw invalidField(
      'query.cursor',
      'is not a cursor of this list and query; start again without it',
      'invalid_cursor',
    );
  }

  #tag(payload: string, key: Buffer): string {
    const mac = createHmac('sha256', key).update(`${this.#scope}.${payload}`).digest();
    return mac.subarray(0, 16).toString('base64url');
  }
}

/**
 * Cuts the rows of a query that asked for one more than `limit` into a page.
 *
 * @param positionOf the sort columns of a row, id last; the next page continues after the last row shown.
 */
export function toPage<Row, T>(
  rows: Row[],
  limit: number,
  codec: CursorCodec,
  positionOf: (row: Row) => CursorPosition,
  render: (row: Row) => T,
): Page<T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit;
  return {
    data: shown.map(render),
    has_more: hasMore,
    next_cursor: hasMore && last !== undefined ? codec.encode(positionOf(last)) : null,
  };
}
