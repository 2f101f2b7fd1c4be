import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { AppError } from '../errors.ts';
import { parseInput } from './validation.ts';

const schema = z.strictObject({
  name: z.string(),
  restrictions: z.strictObject({ origins: z.array(z.string()) }).optional(),
  limit: z.number().optional(),
});

function errorsOf(input: unknown, root?: string) {
  try {
    parseInput(schema, input, root);
  } catch (error) {
    const { code, status, errors } = error as AppError;
    expect([code, status]).toEqual(['invalid_request', 422]);
    return errors!.map(({ path, code }) => [path, code]);
  }
  return null;
}

describe('validation', () => {
  test('answers what the schema makes of the input', () => {
    expect(parseInput(schema, { name: 'x' })).toEqual({ name: 'x' });
  });

  test('means nothing where no member is known at all', () => {
    const faults = () => parseInput(z.strictObject({}), { a: 1 });
    expect(faults).toThrow(
      expect.objectContaining({ detail: 'a: is not a member of this request; remove it' }),
    );
  });

  test('of very many faults tells fifty, those first that explain others', () => {
    const items = z.strictObject({ items: z.array(z.strictObject({ at: z.string(), key: z.string() })) });
    const strangers = { other: 1, att: 1 };
    const faults = () => parseInput(items, { items: Array.from({ length: 1_000 }, () => strangers) });
    expect(faults).toThrow(
      expect.objectContaining({
        errors: Array.from({ length: 50 }, (_, n) =>
          expect.objectContaining({ path: `items[${n}].att`, code: 'unknown_member' }),
        ),
      }),
    );
  });

  test('names every fault at once, each by its path and a code', () => {
    expect(
      errorsOf({ restrictions: { origins: ['a', 1], extra: 1 }, limit: 'x', more: 1, evenMore: 2 }),
    ).toEqual([
      ['name', 'required'],
      ['restrictions.origins[1]', 'invalid_type'],
      ['restrictions.extra', 'unknown_member'],
      ['limit', 'invalid_type'],
      ['more', 'unknown_member'],
      ['evenMore', 'unknown_member'],
    ]);
  });

  test('says where the input came from when it is no body', () => {
    expect(errorsOf({ name: 'x', limit: 'x', more: 1 }, 'query')).toEqual([
      ['query.limit', 'invalid_type'],
      ['query.more', 'unknown_member'],
    ]);
  });

  test('a member that is null is of the wrong type, not missing', () => {
    expect(errorsOf({ name: null })).toEqual([['name', 'invalid_type']]);
  });

  test('a hostile body is answered with at most 50 errors and short paths', () => {
    // The attack: 256 KiB of members that nobody knows, to have megabytes sent back.
    const members = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`${index}${'x'.repeat(1000)}`, 1]),
    );
    const errors = errorsOf({ name: 'x', ...members })!;
    expect(errors.length).toBe(50);
    expect(JSON.stringify(errors).length).toBeLessThan(10_000);
  });

  test('a rule of our own names its code', () => {
    const named = z.string().superRefine((_value, context) => {
      context.addIssue({ code: 'custom', params: { code: 'reserved' }, message: 'is reserved' });
    });
    const plain = z.string().refine(() => false, 'is wrong');
    for (const [rule, code] of [
      [named, 'reserved'],
      [plain, 'invalid'],
    ] as const) {
      expect(() => parseInput(z.object({ a: rule }), { a: 'x' })).toThrow(
        expect.objectContaining({ errors: [expect.objectContaining({ path: 'a', code })] }),
      );
    }
  });

  test('a misspelled member is answered with the one that was likely meant in its place', () => {
    const messagesOf = (input: object, root?: string) => {
      try {
        parseInput(schema, input, root);
      } catch (error) {
        return (error as AppError).errors!.map(({ path, message }) => `${path} ${message}`);
      }
      return [];
    };
    const unknown = 'is not a member of this request';
    expect(
      messagesOf({
        name: 'x',
        Limits: 1,
        owner: 1,
        restrictions: { origins: [], orgins: [], limit: 1 },
      }),
    ).toEqual([
      `restrictions.orgins ${unknown}; did you mean origins?`,
      `restrictions.limit ${unknown}; did you mean limit, beside restrictions?`,
      `Limits ${unknown}; did you mean limit?`,
      `owner ${unknown}; remove it`,
    ]);
    expect(messagesOf({ name: 'x', limt: 1 }, 'query')).toEqual([
      `query.limt ${unknown}; did you mean limit?`,
    ]);
  });

  test('a member that is known elsewhere in the body is told where', () => {
    const openid = z.strictObject({
      redirect_uris: z.array(z.string()).optional(),
      pkce: z.string().optional(),
    });
    const settings = z.strictObject({ scopes: z.array(z.string()).optional(), openid: openid.nullish() });
    const body = z.strictObject({
      name: z.string(),
      settings: settings.optional().transform((value) => value),
      scopes: z.string().optional(),
    });
    const remediesOf = (input: object) => {
      try {
        parseInput(body, input);
      } catch (error) {
        return (error as AppError).errors!.map(({ path, message }) => `${path}: ${message.split('; ')[1]}`);
      }
      return [];
    };
    expect(remediesOf({ name: 'x', redirect_uris: [], settings: { redirect_uris: [], name: 1 } })).toEqual([
      'settings.redirect_uris: did you mean settings.openid.redirect_uris?',
      'settings.name: did you mean name, beside settings?',
      'redirect_uris: did you mean settings.openid.redirect_uris?',
    ]);
    // In two places: nobody knows which is meant.
    expect(remediesOf({ name: 'x', settings: { openid: { scopes: [] } } })).toEqual([
      'settings.openid.scopes: remove it',
    ]);
  });

  test('what is misspelt goes before what is missing without it', () => {
    expect(errorsOf({ nam: 'x', limit: 'x' })).toEqual([
      ['nam', 'unknown_member'],
      ['name', 'required'],
      ['limit', 'invalid_type'],
    ]);
    expect(errorsOf({ name: 'x', restrictions: { orgins: [] } })).toEqual([
      ['restrictions.orgins', 'unknown_member'],
      ['restrictions.origins', 'required'],
    ]);
    expect(errorsOf({ origins: [] })).toEqual([
      ['name', 'required'],
      ['origins', 'unknown_member'],
    ]);
  });

  test('a body that is no object is one fault of the whole', () => {
    expect(errorsOf([])).toEqual([['', 'invalid_type']]);
  });
});
