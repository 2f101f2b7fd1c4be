import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { normalizeAddress, normalizeDomain, normalizePhone, normalizeUniqueName } from './username.ts';

const keyOf = (text: string) => {
  const parsed = normalizeAddress(text);
  return parsed.ok ? parsed.key : null;
};

describe('an e-mail address', () => {
  test.each([
    ['alice@example.com', 'alice@example.com', 'alice@example.com'],
    ['Alice@Example.COM', 'Alice@example.com', 'alice@example.com'],
    ['  alice@example.com\n', 'alice@example.com', 'alice@example.com'],
    ['ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ', 'alice@example.com', 'alice@example.com'],
    ['jo.e+tag@gmail.com', 'jo.e+tag@gmail.com', 'jo.e+tag@gmail.com'],
    ['anna@MÜNCHEN.example', 'anna@xn--mnchen-3ya.example', 'anna@xn--mnchen-3ya.example'],
    ['anna@xn--mnchen-3ya.example', 'anna@xn--mnchen-3ya.example', 'anna@xn--mnchen-3ya.example'],
    ['Jörg@example.com', 'Jörg@example.com', 'jörg@example.com'],
    ['JO\u0308RG@example.com', 'JÖRG@example.com', 'jörg@example.com'],
    ["o'brien@example.com", "o'brien@example.com", "o'brien@example.com"],
    ['root@localhost', 'root@localhost', 'root@localhost'],
  ])('%j is written to as %s and compared as %s', (text, address, key) => {
    expect(normalizeAddress(text)).toEqual({ ok: true, address, key });
  });

  test.each([
    '',
    '@',
    'alice',
    'alice@',
    '@example.com',
    'alice@example',
    'alice@example.com@example.net',
    'alice bob@example.com',
    '.alice@example.com',
    'alice.@example.com',
    'al..ice@example.com',
    '"alice"@example.com',
    'alice(comment)@example.com',
    'Alice <alice@example.com>',
    'alice@example.com,bob@example.com',
    'alice@example.com\r\nBcc: bob@example.com',
    'alice\u0000@example.com',
    'alice\ud800@example.com',
    'ali\u200bce@example.com',
    'ali\u00adce@example.com',
    'ali\u3164ce@example.com',
    'alice@-example.com',
    'alice@example-.com',
    'alice@example..com',
    'alice@example.com.',
    'alice@exam_ple.com',
    'alice@example.com:25',
    'alice@example.com/x',
    'alice@ex%61mple.com',
    'alice@127.0.0.1',
    'alice@0x7f.1',
    'alice@[127.0.0.1]',
    `${'a'.repeat(65)}@example.com`,
    `${'ö'.repeat(33)}@example.com`,
    `alice@${'a'.repeat(64)}.com`,
    `alice@${'a.'.repeat(125)}com`,
    'x'.repeat(100_000),
  ])('%j is none', (text) => {
    expect(normalizeAddress(text).ok).toBe(false);
  });

  // Attack: sign up with an address that a provider delivers to somebody else's mailbox, or that one rule of one provider
  // makes equal, and be taken for its owner.
  test.each([
    ['jo.e@gmail.com', 'joe@gmail.com'],
    ['joe+x@gmail.com', 'joe@gmail.com'],
    ['joe@googlemail.com', 'joe@gmail.com'],
    ['m\u0131ke@example.com', 'mike@example.com'],
    ['mike@g\u0131thub.example', 'mike@github.example'],
    ['stra\u00dfe@example.com', 'strasse@example.com'],
    ['\u0430lice@example.com', 'alice@example.com'],
  ])('%s and %s are two', (one, two) => {
    expect(keyOf(one)).not.toBeNull();
    expect(keyOf(one)).not.toBe(keyOf(two));
  });

  // Attack (GitHub, 2019): an address that compares equal to the victim's and is delivered to the attacker.
  test('that compares equal to another is written to as the other is, but for the case of its first part', () => {
    const character = fc.oneof(
      fc.constantFrom(...'aAbB.+-\u212a\u0131\u0130\ufb01\uff21\u00df\u1e9e\u03c3\u03c2\u03a3\u0308'),
      fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
    );
    const local = fc.array(character, { minLength: 1, maxLength: 6 }).map((all) => all.join(''));
    fc.assert(
      fc.property(local, local, (one, two) => {
        const [first, second] = [
          normalizeAddress(`${one}@example.com`),
          normalizeAddress(`${two}@example.com`),
        ];
        if (!first.ok || !second.ok || first.key !== second.key) return;
        expect(second.address.toLowerCase()).toBe(first.address.toLowerCase());
      }),
      { numRuns: 2_000 },
    );
  });
});

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.emailAddress(),
  fc.string({ unit: fc.constantFrom(...'aZ0.@-_+ößİıﬁＡ١') }),
);

describe('whatever the text', () => {
  test.each([
    ['an address', normalizeAddress],
    ['a unique name', normalizeUniqueName],
    ['a phone number', normalizePhone],
  ])('the normal form of %s is its own normal form, and so is its key', (_name, normalize) => {
    fc.assert(
      fc.property(anyText, (text) => {
        const parsed = normalize(text);
        if (!parsed.ok) return;
        expect(normalize(parsed.address)).toEqual(parsed);
        expect(normalize(parsed.key)).toEqual({ ok: true, address: parsed.key, key: parsed.key });
      }),
      { numRuns: 3_000 },
    );
  });

  test('no address holds what ends a header or begins another address', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const parsed = normalizeAddress(`${text}@example.com`);
        if (parsed.ok) expect(parsed.address).not.toMatch(/[\s\p{C}<>,;:"()[\]\\]/u);
      }),
    );
  });
});

describe('a domain', () => {
  test('is in lower case and in ASCII', () => {
    expect(normalizeDomain('Bücher.Example')).toBe('xn--bcher-kva.example');
    for (const none of [
      '',
      'example',
      '.com',
      'a b.com',
      '*.example.com',
      'example.com:1',
      'https://example.com',
    ])
      expect(normalizeDomain(none)).toBeNull();
  });
});

describe('a unique name', () => {
  test.each([
    ['Alice_1', 'Alice_1', 'alice_1'],
    [' Zoë ', 'Zoë', 'zoë'],
    ['ＡＢＣ', 'ABC', 'abc'],
  ])('%j is shown as %s and compared as %s', (text, address, key) => {
    expect(normalizeUniqueName(text)).toEqual({ ok: true, address, key });
  });

  test.each(['', '_x', '.x', 'a b', 'a@b', 'a/b', 'a\u200db', 'x'.repeat(65), '\ud800', '<b>'])(
    '%j is none',
    (text) => {
      expect(normalizeUniqueName(text).ok).toBe(false);
    },
  );
});

describe('a phone number', () => {
  test.each([
    ['+49 (30) 1234-567', '+49301234567'],
    ['0049 30 1234567', '+49301234567'],
    ['＋４９３０１２３４５６７', '+49301234567'],
  ])('%j is %s', (text, number) => {
    expect(normalizePhone(text)).toEqual({ ok: true, address: number, key: number });
  });

  test.each(['', '030 1234567', '+0301234567', '+49', '+1234567890123456', '+49x30', '+49١٢٣٤٥٦٧'])(
    '%j is none',
    (text) => {
      expect(normalizePhone(text).ok).toBe(false);
    },
  );
});
