import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inertText } from './inert-text.ts';

const secret = `gl_live_sk_${'Ab3'.repeat(14)}9z`;
const redacted = '[redacted]';

/** Each character as it is or percent-encoded, in capitals or not, once or several times. */
function encoded(text: string, choices: readonly number[]): string {
  return Array.from(text, (character, index) => {
    const hex = character.charCodeAt(0).toString(16).padStart(2, '0');
    switch (choices[index % choices.length]! % 5) {
      case 0:
        return character;
      case 1:
        return `%${hex}`;
      case 2:
        return `%${hex.toUpperCase()}`;
      case 3:
        return `%25${hex}`;
      default:
        return `%${'25'.repeat(3)}${hex}`;
    }
  }).join('');
}

/** As a reader of any kind would undo it. */
function decoded(text: string): string {
  let rest = text;
  for (let round = 0; round < 20; round++)
    rest = rest.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  return rest;
}

describe('a URL', () => {
  test.each([
    'https://example.com/pastes/42',
    'https://example.com/search?q=gl_live%20key&page=2#L10-L20',
    'https://exämple.com/päste/%C3%A4',
    'https://github.com/acme/shop/blob/12345600b9cbe38a219f39a9941c9319b600c002/src/config.ts#L3',
    'https://gitlab.com/acme/shop/-/commit/12345600b9cbe38a219f39a9941c9319b600c002',
    '100% sure it is at example.com',
  ])('%s is told as it is', (url) => {
    expect(inertText(url, 2_048, secret)).toBe(url);
  });

  test.each([
    ['<script>alert(1)</script>', '%3Cscript%3Ealert(1)%3C/script%3E'],
    ["\"><img src=x onerror='x'>`\\", '%22%3E%3Cimg src=x onerror=%27x%27%3E%60%5C'],
    ['a\r\nX-Evil: 1\u0000\u001b[31m\u009b\u2028\u2029', 'aX-Evil: 1[31m'],
    ['\u202eevil\u2066\u200f\u061c\ufeff\u200b', 'evil'],
    ['\ud800lone\udc00', '\ufffdlone\ufffd'],
    ['https://user:password@example.com/', `https://${redacted}@example.com/`],
    [`https://example.com/?k=${'x1Y'.repeat(15)}`, `https://example.com/?k=${redacted}`],
    ['https://example.com/?token=short', `https://example.com/?token=${redacted}`],
  ])('%j is told as %j', (url, told) => {
    expect(inertText(url, 2_048, secret)).toBe(told);
  });

  test('is null where nothing is left', () => {
    for (const url of ['', '\u202e', '\n\n']) expect(inertText(url, 2_048, secret)).toBeNull();
  });

  test('is no longer than it may be, also where what it holds grows', () => {
    expect(inertText('<'.repeat(2_048), 2_048)!.length).toBe(2_048);
    expect(inertText('😀'.repeat(10), 5)!.isWellFormed()).toBe(true);
  });
});

describe('a secret', () => {
  // The attack: whoever reports a key hides it in the URL once more, so that it stands in the owner's trail for good.
  test('is gone however it was encoded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(4), { minLength: 1, maxLength: 20 }),
        fc.string(),
        fc.string(),
        (choices, before, after) => {
          const told = inertText(`${before}${encoded(secret, choices)}${after}`, 10_000, secret) ?? '';
          expect(told).not.toContain(secret);
          expect(decoded(told)).not.toContain(secret);
          // Not even the part of it that is random.
          expect(decoded(told)).not.toContain(secret.slice(-44, -12));
        },
      ),
    );
  });

  test.each([
    [
      'in full-width characters',
      Array.from(secret, (c) => (c === '_' ? c : String.fromCharCode(c.charCodeAt(0) + 0xfee0))).join(''),
    ],
    ['with invisible characters between', Array.from(secret).join('\u200b')],
    ['with encoded control characters between', Array.from(secret).join('%00')],
    ['within itself', `${secret.slice(0, 20)}${secret}${secret.slice(20)}`],
    ['in lower case, as a host', `https://${secret.toLowerCase()}.example`],
    ['after a commit', `/commit/${'a'.repeat(40)}/${secret}`],
  ])('is gone %s', (_name, hidden) => {
    const told = inertText(hidden, 2_048, secret) ?? '';
    expect(told.toLowerCase()).not.toContain(secret.slice(-30).toLowerCase());
    expect(told.normalize('NFKC')).not.toContain(secret.slice(-30));
  });

  test('is gone also where it looks like nothing', () => {
    for (const [short, url] of [
      ['garbage', 'https://example.com/garbage/%67arbage'],
      ['%67', 'https://example.com/%67/%2567'],
      ['ä ö', 'https://example.com/ä%20ö'],
      ['e', 'https://example.com'],
      ['redacted', 'https://redacted.example'],
    ] as const) {
      const told = inertText(url, 2_048, short) ?? '';
      expect(told).not.toContain(short);
    }
  });

  test('encoded more often than anybody would takes the whole text with it', () => {
    expect(inertText(`https://example.com/%${'25'.repeat(500)}67`, 2_048, secret)).toBeNull();
  });
});

test('nothing that anybody writes comes out otherwise than inert', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const told = inertText(text, 300) ?? '';
      expect(told).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}<>"'`]*$/u);
      expect(told.isWellFormed()).toBe(true);
      expect(told.length).toBeLessThanOrEqual(300);
    }),
  );
});

// Attack: a report whose URL makes the patterns for secrets try everything against everything, so that one request keeps
// the node from every other.
test('what would take long is thrown away instead: growing look-alikes, secrets put into themselves', () => {
  expect(inertText(`${'a'.repeat(31)}://${'⩴'.repeat(1007)}${'㌖'.repeat(1007)}`, 2_048)).toBeNull();
  expect(inertText('′'.repeat(1_000) + '.'.repeat(1_000), 2_048, '′.')).toBeNull();
});
