import { describe, expect, test } from 'vitest';
import { AddressPolicy } from './address-policy.ts';
import { checkOutboundUrl, maxUrlLength } from './outbound-url.ts';

const policy = new AddressPolicy({ allow: [], ownAddresses: () => [] });
const named = new AddressPolicy({ allow: ['10.0.0.0/8'], ownAddresses: () => [] });
const check = (text: string, by = policy) => checkOutboundUrl(text, by);

describe('URLs that may be set', () => {
  test.each([
    ['https://example.com', 'https://example.com/'],
    ['https://example.com/hook?a=b%20c', 'https://example.com/hook?a=b%20c'],
    ['HTTPS://EXAMPLE.com:443/', 'https://example.com/'],
    ['https://example.com:8443/', 'https://example.com:8443/'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://93.184.215.14/', 'https://93.184.215.14/'],
    ['https://[2606:4700::1]/', 'https://[2606:4700::1]/'],
    [`https://example.com/${'a'.repeat(maxUrlLength - 20)}`, expect.stringContaining('aaa')],
  ])('%s', (text, href) => expect(check(text)).toMatchObject({ ok: true, url: { href } }));

  test.each([
    'http://10.1.2.3/hook',
    'https://10.1.2.3:8443/',
    'http://receiver.internal/',
    'http://receiver/',
    'http://localhost:3000/',
    'http://example.com/',
  ])('%s where the operator names a network, names being decided at each call', (text) =>
    expect(check(text, named).ok).toBe(true),
  );
});

describe('URLs that may not, and how to mend them', () => {
  test.each([
    ['', 'write an absolute URL'],
    ['example.com/hook', 'write an absolute URL'],
    ['/hook', 'write an absolute URL'],
    ['//example.com/hook', 'write an absolute URL'],
    ['https://', 'write an absolute URL'],
    ['https://exa[mple.com/', 'write an absolute URL'],
    ['https://example.com:65536/', 'write an absolute URL'],
    [`https://example.com/${'a'.repeat(maxUrlLength)}`, 'at most 2048 characters'],
    [' https://example.com/', 'remove spaces'],
    ['https://example.com/a b', 'remove spaces'],
    ['https://exam\tple.com/', 'remove spaces'],
    ['https://example.com/\r\nX: y', 'remove spaces'],
    ['https://example.com/\0', 'remove spaces'],
    ['https:\\\\example.com\\', 'backslashes'],
    ['ftp://example.com/', 'use an https URL'],
    ['file:///etc/passwd', 'use an https URL'],
    ['javascript:alert(1)', 'use an https URL'],
    ['wss://example.com/', 'use an https URL'],
    ['https://user:canary@example.com/', 'remove the user name and password'],
    ['https://user@example.com/', 'remove the user name and password'],
    ['https://example.com/#part', 'remove the fragment'],
    ['https://example.com/#', 'remove the fragment'],
    ['https://example.com:22/', 'choose another port: 22'],
    ['https://example.com:0/', 'choose another port: 0'],
    ['https://example.com:10080/', 'choose another port: 10080'],
    ['http://example.com/', 'use https'],
    ['http://93.184.215.14/', 'use https'],
  ])('%j', (text, fix) => {
    const result = check(text);
    expect(result).toMatchObject({ ok: false, reason: 'blocked_url' });
    expect(result).toHaveProperty('message', expect.stringContaining(fix));
    expect(JSON.stringify(result)).not.toContain('canary');
  });

  test.each([
    'https://127.0.0.1/',
    'https://10.0.0.1/',
    'http://10.0.0.1/',
    'https://[::1]/',
    'https://localhost/',
    'https://localhost./',
    'https://a.localhost/',
    'https://gatelodge.internal/',
    'https://printer.local/',
    'https://router.home.arpa/',
    'https://db/',
    'https://metadata.google.internal/computeMetadata/v1/',
  ])('%s: private, with the setting that opens it', (text) => {
    const result = check(text);
    expect(result).toMatchObject({ ok: false, reason: 'blocked_address' });
    expect(result).toHaveProperty('message', expect.stringContaining('GATELODGE_OUTBOUND_ALLOW'));
  });

  test('a network that is named opens no other', () => {
    expect(check('http://127.0.0.1/', named)).toMatchObject({ ok: false, reason: 'blocked_address' });
    expect(check('http://93.184.215.14/', named)).toMatchObject({ ok: false, reason: 'blocked_url' });
  });
});
