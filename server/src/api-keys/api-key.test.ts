import { describe, expect, test } from 'vitest';
import { statusOf } from './api-key.ts';

const now = new Date('2026-11-21T12:00:00.000Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);

describe('the status of a key', () => {
  test.each([
    ['active', null, null, 'active'],
    ['active', after, null, 'active'],
    ['active', now, null, 'expired'],
    ['active', before, null, 'expired'],
    ['active', null, after, 'active'],
    ['active', null, now, 'expired'],
    ['active', after, before, 'expired'],
    ['active', before, after, 'expired'],
    ['disabled', before, before, 'disabled'],
    ['revoked', before, null, 'revoked'],
    ['revoked', null, null, 'revoked'],
  ] as const)('%s, expiring %s, its grace ending %s, is %s', (status, expires_at, retires_at, expected) => {
    expect(statusOf({ status, expires_at, retires_at }, now)).toBe(expected);
  });
});
