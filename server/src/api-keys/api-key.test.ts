import { describe, expect, test } from 'vitest';
import { statusOf } from './api-key.ts';

const now = new Date('2026-11-21T12:00:00.000Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);

describe('the status of a key', () => {
  test.each([
    ['active', null, 'active'],
    ['active', after, 'active'],
    ['active', now, 'expired'],
    ['active', before, 'expired'],
    ['disabled', before, 'disabled'],
    ['revoked', before, 'revoked'],
    ['revoked', null, 'revoked'],
  ] as const)('%s, expiring %s, is %s', (status, expires_at, expected) => {
    expect(statusOf({ status, expires_at }, now)).toBe(expected);
  });
});
