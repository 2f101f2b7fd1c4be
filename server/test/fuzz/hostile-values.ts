import type { Random } from '../harness/random.ts';

/** Texts that have broken something somewhere, as JavaScript strings. */
export const hostileTexts: readonly string[] = [
  ...[
    '',
    ' ',
    '\t',
    '\n',
    '\r\n',
    '\u0000',
    'a\u0000b',
    '\u0001',
    '\u007f',
    '\ufeff',
    '\u200b',
    '\u2028',
    '\u202e',
  ],
  ...[
    '\ud800',
    'a\udc00',
    '\udfff\ud800',
    '\uffff',
    '\u{1f600}',
    'é',
    'e\u0301',
    'ﬀ',
    'İ',
    'ß',
    '\u{10ffff}',
  ],
  ...['null', 'undefined', 'true', 'NaN', 'Infinity', '-0', '1e400', '0x10', '[]', '{}', '[object Object]'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '$ref', '$where', '$gt'],
  ...[
    "'",
    '"',
    '`',
    '\\',
    "' or 1=1 --",
    '"; drop table api_keys; --',
    '%',
    '%s%n',
    '%00',
    '_',
    '\\%',
    '{{7*7}}',
  ],
  ...[
    `$${'{jndi:ldap://x}'}`,
    '<script>alert(1)</script>',
    '../../etc/passwd',
    'file:///etc/passwd',
    '\r\nX-Injected: 1',
  ],
  ...[
    '*',
    '**',
    '.*',
    '(a+)+$',
    'a:b:c',
    'org_',
    'key_',
    'i_',
    'acc_',
    'https://',
    '0.0.0.0/0',
    '::/0',
    '1.2.3.4/33',
  ],
  ...['2026-02-30T00:00:00Z', '9999-12-31T23:59:59-23:59', '0000-01-01T00:00:00Z', '2026-01-01', '1e3'],
];

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789-_.:/';

export function hostileText(random: Random): string {
  const kind = random.int(10);
  if (kind === 0)
    return 'a'.repeat(random.pick([64, 65, 128, 129, 200, 201, 255, 256, 1_000, 1_001, 10_000]));
  if (kind === 1) return '\u{1f600}'.repeat(random.pick([100, 101, 5_000]));
  if (kind === 2) return random.text(1 + random.int(60), alphabet);
  if (kind === 3) return random.pick(hostileTexts) + random.pick(hostileTexts);
  return random.pick(hostileTexts);
}

/** Any JSON value, most of them of a kind that nobody expects. */
export function hostileValue(random: Random, depth = 0): unknown {
  switch (random.int(depth > 2 ? 5 : 9)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick([0, -0, -1, 1.5, 2 ** 31, 2 ** 53, 2 ** 63, 1e308, -1e308, 5e-324, 1e21]);
    case 3:
    case 4:
      return hostileText(random);
    case 5:
      return [];
    case 6:
      return Array.from({ length: random.pick([1, 2, 100, 101, 1_000]) }, () =>
        hostileText(random).slice(0, 50),
      );
    case 7:
      return nested(random.pick([1, 5, 30, 31, 32, 33, 34, 200, 2_000]), random.chance(0.5));
    default:
      return Object.fromEntries(
        Array.from({ length: random.pick([1, 2, 50, 51]) }, (_, index) => [
          `${hostileText(random).slice(0, 30)}${index}`,
          hostileValue(random, depth + 1),
        ]),
      );
  }
}

function nested(levels: number, isArray: boolean): unknown {
  let value: unknown = 'deep';
  for (let level = 0; level < levels; level++) value = isArray ? [value] : { a: value };
  return value;
}

/** JSON that is broken, or that is valid and not what it seems. `text` is valid JSON of an object. */
export function hostileJson(random: Random, text: string): Buffer {
  const at = random.int(text.length + 1);
  const broken: (() => string | Buffer)[] = [
    () => text.slice(0, at),
    () =>
      text.slice(0, at) +
      random.pick(['\u0000', ',', '}', ']', '"', '\\', '/*x*/', '\n', '\ud800']) +
      text.slice(at),
    () => `\ufeff${text}`,
    () => `${text}${text}`,
    () => text.replaceAll('"', "'"),
    () => text.replace('{', '{"__proto__":{"is_operator":true},'),
    () => text.replace('{', '{"name":"one","name":"two",'),
    () => text.replace('{', '{"limits":1e400,'),
    () => text.replace('{', `{"metadata":{"n":${'9'.repeat(5_000)}},`),
    () => text.replace('{', '{"metadata":{"n":1e999,"m":-1e-999},'),
    () => text.replace('{', '{"metadata":{"\\ud800":"\\udfff"},'),
    () => text.replace('{', '{"name":"\\u0000",'),
    () => text.replace('{', '{"name":NaN,"x":Infinity,'),
    () => `${'['.repeat(random.pick([32, 33, 1_000, 100_000]))}`,
    () => '['.repeat(5_000) + ']'.repeat(5_000),
    () => `{"a":`.repeat(5_000) + 1 + '}'.repeat(5_000),
    () =>
      random.pick([
        '',
        ' ',
        'null',
        'true',
        '0',
        '-',
        '"',
        '""',
        '[]',
        '[{}]',
        '{',
        '}',
        'undefined',
        '\u0000',
      ]),
    () =>
      Buffer.concat([
        Buffer.from(text.slice(0, at)),
        Buffer.from([random.pick([0xff, 0xfe, 0xc0, 0x80, 0xed])]),
        Buffer.from(text.slice(at)),
      ]),
    () => Buffer.from(text, 'utf16le'),
    () => Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0xff]),
    () => JSON.stringify({ name: 'x'.repeat(random.pick([262_000, 262_144, 263_000])) }),
    () =>
      JSON.stringify(Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`m${index}`, index]))),
  ];
  return Buffer.from(random.pick(broken)() as string);
}
