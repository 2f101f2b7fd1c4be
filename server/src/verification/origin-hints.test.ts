import { expect, test } from 'vitest';
import { OriginHints } from './origin-hints.ts';

function countingHints() {
  const asked: string[] = [];
  const answers: ((mayUse: boolean) => void)[] = [];
  const hints = new OriginHints((issuerId, candidates) => {
    asked.push(`${issuerId} ${candidates.join(' ')}`);
    return new Promise((resolve) => answers.push(resolve));
  });
  return { hints, asked, answer: (index: number, mayUse: boolean) => answers[index]!(mayUse) };
}

test('who asks the same at the same time, or right after, is answered by one question', async () => {
  const { hints, asked, answer } = countingHints();
  const [first, second] = [hints.mayUse('i_a', ['https://a.b']), hints.mayUse('i_a', ['https://a.b'])];
  answer(0, false);
  expect([await first, await second, await hints.mayUse('i_a', ['https://a.b'])]).toEqual([
    false,
    false,
    false,
  ]);
  expect(asked).toEqual(['i_a https://a.b']);
  void hints.mayUse('i_b', ['https://a.b']);
  void hints.mayUse('i_a', ['https://a.c']);
  expect(asked).toEqual(['i_a https://a.b', 'i_b https://a.b', 'i_a https://a.c']);
});

test('after a change nothing is answered that was read before it, not even what is still being read', async () => {
  const { hints, asked, answer } = countingHints();
  const before = hints.mayUse('i_a', ['https://a.b']);
  hints.clear();
  const after = hints.mayUse('i_a', ['https://a.b']);
  answer(1, true);
  answer(0, false);
  expect([await before, await after]).toEqual([false, true]);
  expect(await hints.mayUse('i_a', ['https://a.b'])).toBe(true);
  expect(asked).toHaveLength(2);
});
