import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppError } from '../errors.ts';
import { leakReportBody, parseLeakReport } from './leak-report.ts';

function refusalOf(body: unknown): AppError | null {
  try {
    parseLeakReport(body);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

const values = fc.oneof(
  fc.constantFrom(
    null,
    undefined,
    0,
    true,
    [],
    {},
    '',
    'a',
    '\u0000',
    '\ud800',
    'x'.repeat(513),
    '😀'.repeat(512),
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('u'.repeat(2_048), 'u'.repeat(2_049), '😀'.repeat(2_049)),
);

test('takes exactly what its contract takes', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.record({ secret: values, url: values }, { requiredKeys: [] }),
        fc.record({ secret: values, url: values, more: values }, { requiredKeys: ['more'] }),
        values,
      ),
      (body) => {
        expect(refusalOf(body) === null).toBe(leakReportBody.safeParse(body).success);
      },
    ),
  );
});

describe('a refusal', () => {
  test.each([
    [{}, 'secret'],
    [{ secret: '' }, 'secret'],
    [{ secret: 'x'.repeat(513) }, 'secret'],
    [{ secret: 'a\u0000' }, 'secret'],
    [{ secret: 'a', url: 1 }, 'url'],
    [{ secret: 'a', url: 'u'.repeat(2_049) }, 'url'],
    [{ secret: 'x', other: 1 }, 'other'],
    [{ secret: 'other', other: 1 }, ''],
    [{ secret: 'x', [`gl_live_sk_${'A1b2'.repeat(11)}`]: 1 }, ''],
    [[], ''],
    ['a', ''],
  ])('of %j names %j', (body, path) => {
    const refusal = refusalOf(body);
    expect([refusal?.code, refusal?.errors?.[0]?.path]).toEqual(['invalid_request', path]);
  });

  test('never repeats any of what was sent', () => {
    // The attack: a secret in the wrong place comes back in an error, which ends in somebody's log.
    const secret = `gl_live_sk_${'A1b2'.repeat(11)}`;
    for (const body of [
      secret,
      [secret],
      { [secret]: secret },
      { secret: { [secret]: secret } },
      { secret: secret.repeat(20) },
      { secret, url: [secret] },
      { secret, url: secret.repeat(50) },
      { secret, url: secret, [secret]: 1 },
    ])
      expect(JSON.stringify({ ...refusalOf(body), message: refusalOf(body)?.detail })).not.toContain('A1b2');
  });
});
