import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RateLimitHeaderStyle, rateLimitHeaderStyles } from '../key-profiles/key-profile.ts';
import { accountId, level, limit, limiterAt, seconds } from './fixtures/levels.ts';
import type { LimitLevel } from './limits.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';

const both = rateLimitHeaderStyles;

/** The headers by name; that none is there twice is part of the test. */
function fields(list: readonly string[]): Record<string, string> {
  const byName: Record<string, string> = {};
  for (let at = 0; at < list.length; at += 2) {
    expect(byName).not.toHaveProperty(list[at]!);
    byName[list[at]!] = list[at + 1]!;
  }
  return byName;
}

/** After `used` requests at 12:59:30. */
function after(used: number, levels: readonly LimitLevel[], styles: readonly RateLimitHeaderStyle[] = both) {
  const { limiter, admitted } = limiterAt('2026-11-22T12:59:30.000Z');
  expect(admitted(used, ...levels)).toBe(used);
  return fields(rateLimitHeaders(limiter.admit({ accountId, levels }), styles));
}

const plan = [level('account', accountId, [limit(1000, 'hour'), limit(10_000, 'day')])];
const hourEnds = String(seconds('2026-11-22T13:00:00Z'));

describe('an admitted request', () => {
  test('tells the tightest limit, all policies, and no time to wait', () => {
    expect(after(949, plan)).toEqual({
      'X-RateLimit-Limit': '1000',
      'X-RateLimit-Remaining': '50',
      'X-RateLimit-Reset': hourEnds,
      'RateLimit-Policy': '"hour";q=1000;w=3600, "day";q=10000;w=86400',
      RateLimit: '"hour";r=50;t=30',
    });
  });

  test.each<[readonly RateLimitHeaderStyle[], readonly string[]]>([
    [['x-ratelimit'], ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']],
    [['ietf'], ['RateLimit-Policy', 'RateLimit']],
    [[], []],
  ])('speaks as the profile wants it: %j', (styles, names) => {
    expect(Object.keys(after(1, plan, styles))).toEqual(names);
  });

  test('tells nothing where no limit governs', () => {
    expect(after(1, [level('key', 'key_a', [])])).toEqual({});
  });

  test('tells the length of the month at hand', () => {
    const lengths = { '2026-02-10': 28, '2028-02-10': 29, '2026-11-10': 30, '2026-12-31': 31 };
    for (const [day, days] of Object.entries(lengths)) {
      const { limiter } = limiterAt(`${day}T00:00:00Z`);
      const decision = limiter.admit({ accountId, levels: [level('key', 'key_a', [limit(9, 'month')])] });
      expect(fields(rateLimitHeaders(decision, ['ietf']))['RateLimit-Policy']).toBe(
        `"month";q=9;w=${days * 86_400}`,
      );
    }
  });

  test('rounds the time to the reset up, so that it has come when that has passed', () => {
    const { clock, limiter } = limiterAt('2026-11-22T12:59:58.999Z');
    const shown = () =>
      fields(rateLimitHeaders(limiter.peek({ accountId, levels: plan }), ['ietf'])).RateLimit;
    expect(shown()).toBe('"hour";r=1000;t=2');
    clock.nowMs += 1;
    expect(shown()).toBe('"hour";r=1000;t=1');
    clock.nowMs += 999;
    expect(shown()).toBe('"hour";r=1000;t=1');
  });

  test('lists a name that several levels use once, as the tightest of them', () => {
    const levels = [
      level('key', 'key_a', [limit(50, 'hour')]),
      level('organization', 'org_a', [limit(20, 'hour'), limit(500, 'day')]),
      level('account', accountId, [limit(1000, 'hour'), limit(500, 'day')]),
    ];
    expect(after(4, levels, ['ietf'])).toEqual({
      'RateLimit-Policy': '"hour";q=20;w=3600, "day";q=500;w=86400',
      RateLimit: '"hour";r=15;t=30',
    });
  });

  test('leaves out a reset that never comes', () => {
    const quota = { credits: 5, sinceSeconds: 0, refill: null };
    expect(after(2, [level('key', 'key_a', [limit(9, 'hour')], { quota })])).toEqual({
      'X-RateLimit-Limit': '5',
      'X-RateLimit-Remaining': '2',
      'RateLimit-Policy': '"hour";q=9;w=3600, "quota";q=5',
      RateLimit: '"quota";r=2',
    });
  });

  test('tells the refill of credits as their window', () => {
    const quota = {
      credits: 5,
      sinceSeconds: seconds('2026-11-22T12:00:00Z'),
      refill: { amount: 9, every: 'day' as const },
    };
    expect(after(2, [level('key', 'key_a', [], { quota })], ['ietf'])).toEqual({
      'RateLimit-Policy': '"quota";q=5;w=86400',
      RateLimit: '"quota";r=2;t=39630',
    });
  });
});

describe('a refused request', () => {
  test.each([[both], [['x-ratelimit']], [['ietf']], [[]]] as const)(
    'tells when to retry, in every style: %j',
    (styles) => {
      const headers = after(1000, plan, styles);
      expect(headers['Retry-After']).toBe('30');
      if (styles.length === 2)
        expect(headers).toMatchObject({ 'X-RateLimit-Remaining': '0', RateLimit: '"hour";r=0;t=30' });
    },
  );

  test('tells no time where waiting does not help', () => {
    const quota = { credits: 2, sinceSeconds: 0, refill: null };
    expect(after(2, [level('key', 'key_a', [], { quota })])).not.toHaveProperty('Retry-After');
    const { limiter } = limiterAt('2026-11-22T12:59:30Z');
    const fault = limiter.admit({ accountId, levels: plan, cost: 1001 });
    expect(fields(rateLimitHeaders(fault, both))).toMatchObject({ 'X-RateLimit-Remaining': '1000' });
    expect(fields(rateLimitHeaders(fault, both))).not.toHaveProperty('Retry-After');
  });
});

describe('a name', () => {
  // RFC 9651: sf-string is DQUOTE *( unescaped / "%" / bs-escaped ) DQUOTE; an integer has at most 15 digits.
  const text = String.raw`"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"`;
  const parameters = String.raw`(?:;[a-z]=\d{1,15})+`;
  const list = new RegExp(`^${text}${parameters}(?:, ${text}${parameters})*$`);

  // Attack: a limit is named such that the header field ends early, or says something else than it should.
  test('never breaks out of its quotes, and what no field can hold is left out', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constant('hour')), {
          minLength: 1,
          maxLength: 4,
        }),
        (names) => {
          const limits = names.map((name, index) => limit(Number.MAX_SAFE_INTEGER - index, 'hour', name));
          const headers = after(1, [level('key', 'key_a', limits)], ['ietf']);
          for (const value of Object.values(headers)) expect(value).toMatch(list);
        },
      ),
    );
  });

  test('is escaped', () => {
    const headers = after(1, [level('key', 'key_a', [limit(5, 'hour', 'a "b" \\c')])], ['ietf']);
    expect(headers.RateLimit).toBe(String.raw`"a \"b\" \\c";r=3;t=30`);
  });
});
