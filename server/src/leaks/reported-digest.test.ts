import { afterAll, expect, test } from 'vitest';
import { startTestServer } from '../../test/harness/server.ts';
import { digestOfReported } from './reported-digest.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { secrets, keys } = server.running.services;
const { secret } = server.operator.key;

test('a key that was made here has the digest under which it is stored, each time', () => {
  for (let time = 0; time < 3; time++)
    expect(digestOfReported(secret, secrets).toString('hex')).toBe(keys.digestOf(secret));
});

test.each([
  ['another check', `${secret.slice(0, -1)}${secret.endsWith('a') ? 'b' : 'a'}`],
  ['a generation of the digest that there is not', `${secret.slice(0, -12)}z${secret.slice(-11)}`],
  ['a generation of the check that there is not', `${secret.slice(0, -11)}z${secret.slice(-10)}`],
  ['a character more', `${secret}x`],
  ['a character less', secret.slice(0, -1)],
  ['nothing', ''],
  ['other text', 'garbage'],
])('with %s it has random bytes, by which nobody recognizes it', (_name, text) => {
  const digests = new Set([1, 2, 3].map(() => digestOfReported(text, secrets).toString('hex')));
  expect(digests.size).toBe(3);
  for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{64}$/);
  expect(digests).not.toContain(keys.digestOf(text));
});
