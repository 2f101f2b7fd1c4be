import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isOriginAllowed, isWellFormedOrigin, originCandidates, parseAllowedOrigin } from './origins.ts';

const wildcards = ['http://localhost:*', 'http://127.0.0.1:*', 'http://[::1]:*'];

describe('an entry of the list', () => {
  test.each([
    'https://myapp.com',
    'http://myapp.com',
    'https://a.b.c.example',
    'https://myapp.com:8443',
    'http://myapp.com:443',
    'https://myapp.com:80',
    'http://localhost',
    'http://localhost:3000',
    'http://127.0.0.1:65535',
    'http://[::1]:5173',
    'https://[2001:db8::1]',
    'https://203.0.113.7',
    'https://intranet',
    'https://my_app.example.com',
    'https://xn--bcher-kva.example',
    ...wildcards,
  ])('%s is taken as it is', (origin) => {
    expect(parseAllowedOrigin(origin)).toEqual({ ok: true, origin });
  });

  test.each([
    ['https://myapp.com/', 'remove the trailing slash', 'https://myapp.com'],
    ['myapp.com', 'add the scheme', 'https://myapp.com'],
    ['myapp.com:8443', 'add the scheme', 'https://myapp.com:8443'],
    ['localhost:3000', 'add the scheme', 'http://localhost:3000'],
    ['//myapp.com', 'add the scheme', 'https://myapp.com'],
    ['https:/myapp.com', 'write // after the colon', 'https://myapp.com'],
    ['https://myapp.com:443', 'remove the default port', 'https://myapp.com'],
    ['http://myapp.com:80', 'remove the default port', 'http://myapp.com'],
    ['https://myapp.com/login', 'remove the path', 'https://myapp.com'],
    ['https://myapp.com//', 'remove the path', 'https://myapp.com'],
    ['https://myapp.com?a=b', 'remove the query', 'https://myapp.com'],
    ['https://myapp.com/?a=b', 'remove the query', 'https://myapp.com'],
    ['https://myapp.com#top', 'remove the fragment', 'https://myapp.com'],
    ['https://MyApp.com', 'write it in lower case', 'https://myapp.com'],
    ['HTTPS://myapp.com', 'write it in lower case', 'https://myapp.com'],
    [' https://myapp.com ', 'remove the white space', 'https://myapp.com'],
    ['https://myapp.com\n', 'remove the white space', 'https://myapp.com'],
    ['https://myapp.com.', 'remove the dot at the end', 'https://myapp.com'],
    ['https://myapp.com:', 'remove the colon', 'https://myapp.com'],
    ['https://myapp.com:08443', 'write it as browsers do', 'https://myapp.com:8443'],
    ['https://bücher.example', 'punycode', 'https://xn--bcher-kva.example'],
    ['https://ｍyapp.com', 'punycode', 'https://myapp.com'],
    ['https://my%61pp.com', '% escapes', 'https://myapp.com'],
    ['wss://myapp.com', 'scheme http or https', 'https://myapp.com'],
    ['http://[0:0:0:0:0:0:0:1]:80', 'remove the default port', 'http://[::1]'],
    ['http://2130706433', 'write it as browsers do', 'http://127.0.0.1'],
    ['http://localhost:*/', 'remove the trailing slash', 'http://localhost:*'],
    ['localhost:*', 'add the scheme', 'http://localhost:*'],
    ['https://localhost:*', 'http on loopback only', 'http://localhost:*'],
  ])('%j is refused with the fix and the corrected form', (text, fix, suggestion) => {
    expect(parseAllowedOrigin(text)).toEqual({
      ok: false,
      message: expect.stringContaining(fix),
      suggestion,
    });
    expect(parseAllowedOrigin(text)).toHaveProperty('message', expect.stringContaining(suggestion));
    expect(parseAllowedOrigin(suggestion)).toEqual({ ok: true, origin: suggestion });
  });

  test.each([
    ['', 'such as https://myapp.com'],
    ['*', 'leave the list empty'],
    ['null', 'every sandboxed page'],
    ['https://*.myapp.com', 'list each origin'],
    ['https://*', 'list each origin'],
    ['*.myapp.com', 'list each origin'],
    ['https://%2a.myapp.com', 'list each origin'],
    ['https://myapp.com:*', 'name the port'],
    ['http://127.0.0.2:*', 'name the port'],
    ['http://localhost.:*', 'name the port'],
    ['http://localhost:30*', 'list each origin'],
    ['https://user:password@myapp.com', 'remove the user name and password'],
    ['https://myapp.com@evil.example', 'remove the user name and password'],
    ['https://a.com,https://b.com', 'one origin in each entry'],
    ['https://a.com https://b.com', 'white space'],
    ['https:\\\\myapp.com', 'backslash'],
    ['ftp://myapp.com', 'http or https'],
    ['javascript:alert(1)', 'http or https'],
    ['file:///etc/passwd', 'http or https'],
    ['https://', 'not valid'],
    ['https://myapp.com:99999', 'not valid'],
    ['https://myapp.com:0', 'port from 1 to 65535'],
    ['https://my"app.com', 'not a host name'],
    ['https://a..com', 'not a host name'],
    [`https://${'a'.repeat(64)}.com`, 'not a host name'],
    [`https://${'a.'.repeat(200)}com`, 'at most'],
  ])('%j is refused without a guess', (text, fix) => {
    expect(parseAllowedOrigin(text)).toEqual({ ok: false, message: expect.stringContaining(fix) });
  });

  test('nothing throws, a refusal has a message, and a suggestion is an entry that is taken', () => {
    const nearOrigin = fc
      .tuple(
        fc.constantFrom('https://', 'http://', 'HTTP://', 'https:', '//', '', 'ws://', 'https:/'),
        fc.oneof(
          fc.domain(),
          fc.ipV4(),
          fc.ipV6(),
          fc.constantFrom('localhost', '*', '*.a.b', 'ü.de', 'a b', '', '[::1]'),
        ),
        fc.constantFrom('', ':80', ':443', ':0', ':08', ':*', ':', ':99999', ':3000'),
        fc.constantFrom('', '/', '/x', '?', '#', '/*', ' ', '\t', '\u0000', '.', '@b.c'),
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(nearOrigin, fc.webUrl(), fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseAllowedOrigin(text);
        if (parsed.ok) expect(parsed.origin).toBe(text);
        else {
          expect(parsed.message).not.toBe('');
          if (parsed.suggestion !== undefined) expect(parseAllowedOrigin(parsed.suggestion).ok).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('what is taken is what a browser sends for a page there, and allows exactly it', () => {
    fc.assert(
      fc.property(fc.webUrl({ validSchemes: ['http', 'https'] }), fc.webUrl(), (page, otherPage) => {
        const origin = new URL(page).origin;
        const parsed = parseAllowedOrigin(origin);
        fc.pre(parsed.ok);
        expect(isWellFormedOrigin(origin)).toBe(true);
        expect(isOriginAllowed([origin], origin)).toBe(true);
        const other = new URL(otherPage).origin;
        expect(isOriginAllowed([origin], other)).toBe(other === origin);
      }),
    );
  });
});

describe('a request', () => {
  // Attack: a page elsewhere whose origin a lenient comparison (prefix, suffix, substring, case, normal form) lets in.
  const hostile = [
    'null',
    '',
    '*',
    'undefined',
    'https://*',
    'http://localhost:*',
    'http://127.0.0.1:*',
    'http://[::1]:*',
    'https://myapp.com.evil.example',
    'https://evil-myapp.com',
    'https://evilmyapp.com',
    'https://evil.myapp.com',
    'https://myapp.comevil.example',
    'https://myapp.co',
    'https://myapp.com.',
    'https://myapp.com:8443',
    'https://myapp.com:443',
    'https://myapp.com:444',
    'http://myapp.com',
    'http://myapp.com:443',
    'HTTPS://myapp.com',
    'https://MYAPP.com',
    'https://myapp.com/',
    'https://myapp.com/x',
    'https://myapp.com?',
    'https://myapp.com#',
    ' https://myapp.com',
    'https://myapp.com ',
    'https://myapp.com\n',
    'https://myapp.com\0',
    'https://myapp.com\0.evil.example',
    'https://evil.example/https://myapp.com',
    'https://evil.example?https://myapp.com',
    'https://myapp.com@evil.example',
    'https://user@myapp.com',
    'https://myapp.com, https://evil.example',
    'https://evil.example,https://myapp.com',
    'https://myаpp.com',
    'https://ｍyapp.com',
    'https://myapp。com',
    'https://xn--mypp-53d.com',
    'https://myapp%2ecom',
    'ftp://myapp.com',
    'wss://myapp.com',
    'file://myapp.com',
    'https:myapp.com',
    '//myapp.com',
    'myapp.com',
    'https:\\\\myapp.com',
    'https://myapp.com\\.evil.example',
    'https://[::1]',
    'https://localhost:3000',
    'http://localhost:',
    'http://localhost:0',
    'http://localhost:03000',
    'http://localhost:65536',
    'http://localhost:80',
    'http://localhost:3000/',
    'http://localhost:3000.evil.example',
    'http://localhost:3000@evil.example',
    'http://localhost.evil.example:3000',
    'http://localhost:+3000',
    'http://localhost:3e3',
    'http://localhost:３０００',
    'http://localhost: 3000',
    'http://LOCALHOST:3000',
    'http://127.0.0.1.evil.example:3000',
    'http://127.0.0.2:3000',
    'http://127.1:3000',
    'http://0.0.0.0:3000',
    'http://[::1]evil:3000',
    'http://[::2]:3000',
    'http://::1:3000',
    'http://notlocalhost:3000',
    'constructor',
    '__proto__',
  ];

  test('the corpus of hostile origins has at least 50', () => {
    expect(new Set(hostile).size).toBeGreaterThanOrEqual(50);
  });

  test.each(hostile)('from %j is refused', (origin) => {
    expect(
      isOriginAllowed(
        ['https://myapp.com', 'http://localhost:*', 'http://127.0.0.1:*', 'http://[::1]:*'],
        origin,
      ),
    ).toBe(false);
  });

  test('from a listed origin is allowed', () => {
    expect(isOriginAllowed(['https://a.com', 'https://myapp.com'], 'https://myapp.com')).toBe(true);
  });

  test('from any origin is allowed where there is no list, `null` included', () => {
    for (const origin of ['https://anything.example', 'null', 'capacitor://localhost']) {
      expect(isOriginAllowed([], origin)).toBe(true);
    }
  });

  test.each(wildcards)(
    'from any port of loopback is allowed by %s, and by no entry of another host',
    (wildcard) => {
      const host = wildcard.slice(0, -2);
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 65_535 }), (port) => {
          const { origin } = new URL(`${host}:${port}`);
          expect(isOriginAllowed([wildcard], origin)).toBe(true);
          expect(
            isOriginAllowed(
              wildcards.filter((other) => other !== wildcard),
              origin,
            ),
          ).toBe(false);
          expect(isOriginAllowed([wildcard], origin.replace('http:', 'https:'))).toBe(false);
        }),
      );
    },
  );

  test('is allowed by exactly the lists that hold one of its candidates', () => {
    const origin = fc.oneof(
      fc.webUrl().map((url) => new URL(url).origin),
      fc.integer({ min: 1, max: 65_535 }).map((port) => new URL(`http://localhost:${port}`).origin),
      fc.constantFrom('null', 'http://localhost', 'http://127.0.0.1:1', 'http://[::1]', 'https://localhost'),
    );
    const entries = fc.array(
      fc.oneof(
        fc.constantFrom(...wildcards),
        origin.filter((one) => parseAllowedOrigin(one).ok),
      ),
      { minLength: 1, maxLength: 3 },
    );
    fc.assert(
      fc.property(origin, entries, (asked, list) => {
        const candidates = originCandidates(asked);
        expect(isOriginAllowed(list, asked)).toBe(list.some((entry) => candidates.includes(entry)));
      }),
    );
  });
});

describe('a well-formed origin', () => {
  test.each([
    'null',
    'https://myapp.com',
    'http://localhost:3000',
    'http://[::1]',
    'capacitor://localhost',
    'chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai',
    'moz-extension://0f8c2b5e-1d3a-4c55-9e3d-2f3b1a6c7d88',
  ])('%s could come from a browser', (origin) => {
    expect(isWellFormedOrigin(origin)).toBe(true);
  });

  test.each([
    '',
    '*',
    'NULL',
    'myapp.com',
    'https://',
    'https://myapp.com/',
    'https://myapp.com:443',
    'https://MYAPP.com',
    'https://a b.com',
    'https://a.com\r\nX: y',
    'https://user@a.com',
    'https://bücher.example',
    'https://a.com,https://b.com',
    'javascript:alert(1)',
    'https://a.com:99999',
    'https://127.1',
    `https://${'a'.repeat(300)}`,
  ])('%j could not', (origin) => {
    expect(isWellFormedOrigin(origin)).toBe(false);
  });

  test('can be echoed in a header as it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.string({ unit: 'binary' })), (text) => {
        if (isWellFormedOrigin(text)) expect(text).toMatch(/^[!-~]{1,300}$/);
      }),
    );
  });
});
