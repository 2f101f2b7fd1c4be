import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findCredentials } from './credentials.ts';

const places = { keyHeaders: ['authorization', 'x-api-key', 'x-other-key'], takesBasic: true };
const withoutBasic = { ...places, takesBasic: false };
const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2ln';

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString('base64')}`;
}

describe('Authorization', () => {
  test.each([
    ['Bearer s3cret', { secret: 's3cret', keyId: null }],
    ['bearer   s3cret', { secret: 's3cret', keyId: null }],
    ['BEARER a.b', { secret: 'a.b', keyId: null }],
    [basic('key_1:s3cret'), { secret: 's3cret', keyId: 'key_1' }],
    [basic('key_1:s3:cr:et'), { secret: 's3:cr:et', keyId: 'key_1' }],
    [basic('key_1:'), { secret: '', keyId: 'key_1' }],
    [basic('key_1:s3cret').replaceAll('=', ''), { secret: 's3cret', keyId: 'key_1' }],
  ])('%s', (authorization, key) => {
    expect(findCredentials({ authorization }, places)).toEqual({ outcome: 'one', key });
  });

  test.each([
    'Bearer',
    'Bearer a b',
    's3cret',
    'Token s3cret',
    'Basic',
    'Basic !!!!',
    basic('no-colon'),
    basic(':s3cret'),
    'Digest username="x", realm="y"',
  ])('%s presents no key that could be right', (authorization) => {
    expect(findCredentials({ authorization }, places)).toEqual({ outcome: 'malformed' });
  });

  test('takes Basic only where it is said to', () => {
    expect(findCredentials({ authorization: basic('k:s') }, withoutBasic)).toEqual({ outcome: 'malformed' });
  });

  test('with a JWT is a token, unless a key stands beside it', () => {
    const authorization = `Bearer ${jwt}`;
    expect(findCredentials({ authorization }, places)).toEqual({ outcome: 'token', token: jwt });
    expect(findCredentials({ authorization, 'x-api-key': 's' }, places)).toMatchObject({
      outcome: 'one',
      key: { secret: 's' },
    });
  });
});

describe('an id', () => {
  test('holds for the same secret without one, wherever that stands', () => {
    // Attack: the right secret under a wrong id, and once more in another header where no id is asked for.
    for (const headers of [
      { authorization: basic('key_wrong:s'), 'x-api-key': 's' },
      { authorization: `Bearer s, ${basic('key_wrong:s')}` },
      { authorization: `${basic('key_wrong:s')}, Bearer s`, 'x-other-key': 's' },
    ]) {
      expect(findCredentials(headers, places)).toEqual({
        outcome: 'one',
        key: { secret: 's', keyId: 'key_wrong' },
      });
    }
  });

  test('that differs from another makes two credentials', () => {
    const authorization = `${basic('key_1:s')}, ${basic('key_2:s')}`;
    expect(findCredentials({ authorization }, places)).toEqual({ outcome: 'ambiguous' });
  });
});

test('nothing, and nothing but empty headers, is missing', () => {
  expect(findCredentials({}, places)).toEqual({ outcome: 'missing' });
  expect(findCredentials({ 'x-api-key': '', authorization: '' }, places)).toEqual({ outcome: 'missing' });
  expect(findCredentials({ 'x-api-key': ', ' }, places)).toEqual({ outcome: 'missing' });
  expect(findCredentials({ 'x-unheard-of': 's', cookie: 'x-api-key=s' }, places)).toEqual({
    outcome: 'missing',
  });
});

// Keys of other systems, which are imported by their hashes, look like anything.
test('a key header takes any printable ASCII for a key, a JWT too, but never white space', () => {
  const printable = fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
  });
  fc.assert(
    fc.property(printable, (secret) => {
      expect(findCredentials({ 'x-api-key': secret }, places)).toEqual({
        outcome: 'one',
        key: { secret, keyId: null },
      });
    }),
  );
  expect(findCredentials({ 'x-api-key': jwt }, places)).toMatchObject({
    outcome: 'one',
    key: { secret: jwt },
  });
  for (const value of ['a b', 'a\tb', 'Bearer s3cret', 'a ,b'])
    expect(findCredentials({ 'x-api-key': value }, places), value).toEqual({ outcome: 'malformed' });
});

test('is one key exactly where every place that presents one presents the same', () => {
  const secret = fc.constantFrom('a', 'b');
  const bearer = secret.map((text) => ({ secret: text, header: `Bearer ${text}` }));
  const token = fc.constant({ secret: null, header: `Bearer ${jwt}` });
  const plain = secret.map((text) => ({ secret: text, header: text }));
  const keyHeader = fc.array(plain, { maxLength: 2 });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(bearer, token), { maxLength: 2 }),
      keyHeader,
      keyHeader,
      (first, ...rest) => {
        const headers = Object.fromEntries(
          [first, ...rest]
            .map((presented, index) => [
              places.keyHeaders[index]!,
              presented.map(({ header }) => header).join(', '),
            ])
            .filter(([, value]) => value !== ''),
        );
        const secrets = new Set([first, ...rest].flat().flatMap((presented) => presented.secret ?? []));
        const none = first.length > 0 ? 'token' : 'missing';
        const expected = ['one', 'ambiguous'][secrets.size - 1] ?? none;
        expect(findCredentials(headers, places).outcome).toBe(expected);
      },
    ),
  );
});

test('never throws, whatever the headers hold', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string().map(basic),
    fc.string().map((text) => `Bearer ${text}`),
  );
  fc.assert(
    fc.property(value, value, (authorization, key) => {
      const found = findCredentials({ authorization, 'x-api-key': key }, places);
      expect(['one', 'missing', 'malformed', 'ambiguous', 'token']).toContain(found.outcome);
    }),
  );
});
