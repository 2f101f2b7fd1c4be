import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { hostileRedirectUris } from './fixtures/hostile-redirect-uris.ts';
import { maxRedirectUriLength, parseRedirectUri } from './redirect-uri.ts';

describe('is taken, byte for byte', () => {
  test.each([
    'https://app.example.com/callback',
    'https://app.example.com/',
    'https://app.example.com:8443/a/b;c=d?state=1&next=%2Fhome',
    'https://xn--mnchen-3ya.example/callback',
    'https://203.0.113.7/callback',
    'https://[2001:db8::1]/callback',
    'https://app.example.com/@user/callback',
    'https://app.example.com/caf%C3%A9',
    'https://app_1.example.com/callback',
    'http://localhost/callback',
    'http://localhost:3000/callback',
    'http://127.0.0.1:8080/',
    'http://[::1]:8080/callback',
    `https://app.example.com/${'a'.repeat(maxRedirectUriLength - 24)}`,
  ])('%s', (uri) => {
    for (const type of ['web', 'spa', 'native'] as const)
      expect(parseRedirectUri(uri, type)).toEqual({ ok: true, uri });
  });

  test.each(['com.example.app:/callback', 'com.example.app://callback', 'com.example-1.app:/a?b=c'])(
    '%s of a native application, and of no other',
    (uri) => {
      expect(parseRedirectUri(uri, 'native')).toEqual({ ok: true, uri });
      for (const type of ['web', 'spa'] as const) expect(parseRedirectUri(uri, type).ok).toBe(false);
    },
  );
});

// Attack: a URI that one program takes for ours and the browser for the attacker's, or that runs a script.
describe('is refused', () => {
  test('the corpus has 200 of them', () => {
    expect(new Set(hostileRedirectUris).size).toBeGreaterThanOrEqual(200);
  });

  test.each(hostileRedirectUris.map((uri) => [JSON.stringify(uri).slice(0, 120), uri]))(
    '%s',
    (_name, uri) => {
      for (const type of ['web', 'spa', 'native'] as const) {
        const parsed = parseRedirectUri(uri, type);
        expect(parsed).toMatchObject({ ok: false, message: expect.stringMatching(/.../) });
        if (!parsed.ok && parsed.suggestion !== undefined)
          expect(parseRedirectUri(parsed.suggestion, type)).toEqual({ ok: true, uri: parsed.suggestion });
      }
    },
  );

  test.each([
    ['https://app.example.com', 'https://app.example.com/'],
    ['HTTPS://App.Example.com/Callback', 'https://app.example.com/Callback'],
    ['https://app.example.com:443/callback', 'https://app.example.com/callback'],
    ['https://app.example.com/a/../callback', 'https://app.example.com/callback'],
    ['https://münchen.example/callback', 'https://xn--mnchen-3ya.example/callback'],
    [' https://app.example.com/callback ', 'https://app.example.com/callback'],
    ['http://127.1/callback', 'http://127.0.0.1/callback'],
  ])('%j, with the corrected form', (uri, suggestion) => {
    expect(parseRedirectUri(uri, 'web')).toMatchObject({ ok: false, suggestion });
  });
});

test('whatever is taken is what a browser goes to: https or loopback, no user name, no fragment', () => {
  const part = fc.constantFrom(
    ...[
      'https',
      'http',
      'com.example.app',
      'javascript',
      ':',
      '//',
      '/',
      '\\',
      '@',
      '#',
      '?',
      '*',
      '%2f',
      '%00',
    ],
    ...[
      'localhost',
      '127.0.0.1',
      '[::1]',
      'app.example.com',
      'evil.example',
      '.',
      '..',
      ':8443',
      ':0',
      ' ',
      '\t',
      'é',
    ],
  );
  let taken = 0;
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 9 }).map((parts) => parts.join('')),
      fc.constantFrom('', 'https://app.example.com', 'http://localhost', 'com.example.app:/'),
      fc.constantFrom('web' as const, 'spa' as const, 'native' as const),
      (text, start, type) => {
        const parsed = parseRedirectUri(start + text, type);
        if (!parsed.ok) return;
        taken++;
        const url = new URL(parsed.uri);
        expect(parsed.uri).toBe(start + text);
        expect(url.href).toBe(parsed.uri);
        expect([url.username, url.password, url.hash]).toEqual(['', '', '']);
        expect(parsed.uri).not.toMatch(/[#*\\\s]|[^ -~]/);
        if (url.protocol === 'http:') expect(['localhost', '127.0.0.1', '[::1]']).toContain(url.hostname);
        else if (url.protocol !== 'https:')
          expect([type, url.protocol]).toEqual(['native', expect.stringContaining('.')]);
      },
    ),
    { numRuns: scaled(5_000, 200_000) },
  );
  expect(taken).toBeGreaterThan(20);
});
