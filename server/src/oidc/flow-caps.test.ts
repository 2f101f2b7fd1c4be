import { expect, test } from 'vitest';
import { FlowCaps } from './flow-caps.ts';

/** How many of so many requests pass. */
function passed(caps: FlowCaps, count: number, ask: (index: number) => [string, string, string]): number {
  let passing = 0;
  for (let index = 0; index < count; index++) {
    try {
      caps.count(...ask(index));
      passing++;
    } catch (error) {
      expect(error).toMatchObject({ status: 429, error: 'slow_down', headers: { 'Retry-After': '60' } });
    }
  }
  return passing;
}

// Attack: a stranger begins sign-ins without end, each of which leaves a row for an hour.
test('sign-ins that are begun are bounded by network, however the address is spelled', () => {
  const caps = new FlowCaps(() => 0);
  const ofOne = (index: number) => `2001:db8:0:1::${index.toString(16)}`;
  expect(passed(caps, 700, (index) => ['GET', `/authorize?state=${index}`, ofOne(index)])).toBe(600);
  expect(passed(caps, 10, () => ['GET', '/authorize?x', '198.51.100.7'])).toBe(10);
  // What goes on with a sign-in that has been begun is no new one.
  expect(passed(caps, 10, () => ['GET', '/authorize/abc', ofOne(1)])).toBe(10);
});

// Attack: whoever tries codes long enough connects somebody else's device to their own account.
test('codes of devices are tried 30 times a minute, and again in the next', () => {
  let nowMs = 0;
  const caps = new FlowCaps(() => nowMs);
  const guess = (): [string, string, string] => ['POST', '/device', '198.51.100.7'];
  expect(passed(caps, 100, guess)).toBe(30);
  expect(passed(caps, 10, () => ['GET', '/device', '198.51.100.7'])).toBe(10);
  nowMs = 60_000;
  expect(passed(caps, 100, guess)).toBe(30);
});

test('what programs push is bounded by itself, and tokens are not', () => {
  const caps = new FlowCaps(() => 0);
  expect(passed(caps, 1_300, () => ['POST', '/par', '198.51.100.7'])).toBe(1_200);
  expect(passed(caps, 10, () => ['POST', '/device/authorization', '198.51.100.7'])).toBe(0);
  expect(passed(caps, 2_000, () => ['POST', '/token', '198.51.100.7'])).toBe(2_000);
});

test('60 clients a minute register themselves from one network', () => {
  const caps = new FlowCaps(() => 0);
  expect(passed(caps, 100, () => ['POST', '/register', '198.51.100.7'])).toBe(60);
  expect(passed(caps, 10, () => ['POST', '/par', '198.51.100.7'])).toBe(10);
});
