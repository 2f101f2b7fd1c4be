import { z } from 'zod';
import { type IdPrefix, isId } from '../ids/ids.ts';
import type { JsonObject } from '../postgres/schema.ts';

/**
 * Text that Postgres and every client can hold: well-formed UTF-16 (a lone surrogate has no UTF-8) without NUL,
 * which Postgres' text type refuses.
 */
export function text(minLength: number, maxLength: number) {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine(isStorableText, 'must not contain NUL or lone surrogates');
}

/** A display name: 1–200 characters, not only white space. */
export const nameField = text(1, 200).refine(
  (value) => value === '' || value.trim() !== '',
  'must not be only white space',
);

/**
 * For text that pages or mails show to users of others, where they decide whom they trust: it may not turn around or break
 * off what stands beside it.
 */
export function isPlainLine(value: string): boolean {
  return !/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(value);
}

/** A name that is shown so. Of names that are there already those alone are held to it that change. */
export const shownNameField = nameField.refine(
  isPlainLine,
  'must not contain line breaks, other control characters or marks of writing direction',
);

/** A search word: found anywhere in the name, whatever its case. */
export const searchField = text(1, 200).describe('Part of the name, in any case.');

/** The id of an object in a query or a body. `noun` with its article. */
export function idField(prefix: IdPrefix, noun: string) {
  return z.string().refine((value) => isId(prefix, value), `must be the id of ${noun}, ${prefix}…`);
}

export const timestampField = z.iso
  .datetime({ precision: 3 })
  .meta({ id: 'Timestamp', description: 'RFC 3339, UTC, milliseconds.' });

/** An instant in a request: any RFC 3339 offset is taken, a missing one is not. */
export const instantField = z.iso
  .datetime({ offset: true, abort: true })
  .refine((value) => {
    const year = new Date(value).getUTCFullYear();
    return year >= 1970 && year <= 9999;
  }, 'must lie between the years 1970 and 9999')
  .meta({ id: 'Instant', description: 'RFC 3339 with any offset, between the years 1970 and 9999.' });

const metadataMaxMembers = 50;
const metadataMaxBytes = 8192;

/** From here on, and for fractions that JavaScript writes with an exponent, Postgres stores a digit for each place. */
const metadataNumbersBelow = 1e15;

/** The customer's own data on an object: a JSON object of at most 50 members and 8 KiB. */
export const metadataField = boundedObject(z.record(z.string(), z.json()));

/** A JSON object in which the customer may keep what it likes, within those bounds. */
export function boundedObject<Schema extends z.ZodType<object>>(schema: Schema) {
  return schema
    .refine(
      (value) => Object.keys(value).length <= metadataMaxMembers,
      `must have at most ${metadataMaxMembers} members`,
    )
    .refine((value) => isStorableText(jsonTexts(value)), 'must not contain NUL or lone surrogates')
    .refine(
      (value) => !holdsUnwieldyNumber(value),
      'must not contain numbers of 16 digits or more, or with an exponent; send them as strings',
    )
    .refine(
      (value) => Buffer.byteLength(JSON.stringify(value)) <= metadataMaxBytes,
      `must be at most ${metadataMaxBytes} bytes of JSON`,
    )
    .transform((value) => value as JsonObject);
}

/** A merge patch of `metadata`: null removes a member. The whole that it makes is checked by `metadataField`. */
export const metadataPatchField = z.record(z.string(), z.json());

export const environmentField = z.enum(['live', 'sandbox']);

/** Says whether Postgres and UTF-8 can hold this text. */
export function isStorableText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\u0000');
}

/**
 * Every string of a JSON value, member names too: JSON.stringify would hide them behind escapes. Apart from each other,
 * or half a character at the end of one would make a whole with half a one at the beginning of the next.
 */
function jsonTexts(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(jsonTexts).join(' ');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([member, inner]) => `${member} ${jsonTexts(inner)}`)
      .join(' ');
  }
  return '';
}

/** `1e308` is five bytes of JSON and, once it has been through jsonb, 309. */
function holdsUnwieldyNumber(value: unknown): boolean {
  if (typeof value === 'number')
    return Math.abs(value) >= metadataNumbersBelow || String(value).includes('e');
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsUnwieldyNumber);
}
