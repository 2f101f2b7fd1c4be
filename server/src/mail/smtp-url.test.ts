import { describe, expect, test } from 'vitest';
import { parseSenderAddress } from './sender-address.ts';
import { parseSmtpUrl, sendsPasswordInTheClear } from './smtp-url.ts';

const server = (text: string) => {
  const parsed = parseSmtpUrl(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.server;
};

describe('an SMTP URL', () => {
  test.each([
    ['smtps://mail.example.com', { host: 'mail.example.com', port: 465, tls: 'implicit' }],
    ['smtps://mail.example.com?tls=required', { port: 465, tls: 'implicit' }],
    ['smtp://mail.example.com', { port: 587, tls: 'required' }],
    ['smtp://mail.example.com:25?tls=none', { port: 25, tls: 'none' }],
    ['smtp://mail.example.com/?tls=required', { tls: 'required' }],
    ['smtp://localhost:2525', { host: 'localhost', port: 2525, tls: 'none' }],
    ['smtp://127.0.0.1', { tls: 'none' }],
    ['smtp://[::1]:2525', { host: '::1', tls: 'none' }],
    ['smtp://[2001:db8::1]', { host: '2001:db8::1', tls: 'required' }],
    ['smtp://localhost?tls=required', { tls: 'required' }],
    ['smtp://mailhog', { host: 'mailhog', tls: 'required' }],
  ] as const)('%s', (text, expected) => {
    expect(server(text)).toMatchObject({ ...expected, credentials: null });
  });

  test('has its user and password percent-encoded', () => {
    expect(server('smtp://me%40example.com:p%3Aa%2F%25@mail.example.com').credentials).toEqual({
      user: 'me@example.com',
      password: 'p:a/%',
    });
  });

  test.each([
    'mail.example.com',
    'https://mail.example.com',
    'smtp://',
    'smtp://mail.example.com/path',
    'smtp://mail.example.com#x',
    'smtp://user@mail.example.com',
    'smtp://:password@mail.example.com',
    'smtp://user:100%@mail.example.com',
    'smtp://mail.example.com?tls=optional',
    'smtp://mail.example.com?tls=none&tls=required',
    'smtp://mail.example.com?ignoreTLS=true',
    // Attack: options of the library that does the work.
    'smtp://mail.example.com?tls.rejectUnauthorized=false',
    'smtps://mail.example.com?tls=none',
    'smtp://b%C3%BCcher.example',
    'smtp://mail.example.com:99999',
  ])('refuses %s, with a reason that does not repeat it', (text) => {
    const parsed = parseSmtpUrl(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.problem).not.toContain('password@mail.example.com?');
  });

  test('tells when a password would be sent for others to read', () => {
    expect(sendsPasswordInTheClear(server('smtp://u:p@mail.example.com?tls=none'))).toBe(true);
    for (const text of [
      'smtp://u:p@mail.example.com',
      'smtp://u:p@localhost',
      'smtp://mail?tls=none',
      'smtp://u:p@[::1]',
    ])
      expect(sendsPasswordInTheClear(server(text)), text).toBe(false);
  });
});

test.each([
  ['no-reply@example.com', { name: null, address: 'no-reply@example.com' }],
  ['Example <no-reply@example.com>', { name: 'Example', address: 'no-reply@example.com' }],
  ['"Example, Inc." <no-reply@example.com>', { name: 'Example, Inc.', address: 'no-reply@example.com' }],
  ['<no-reply@example.com>', { name: null, address: 'no-reply@example.com' }],
  ['nobody', null],
  ['a@b, c@d', null],
  ['A <a@b> <c@d>', null],
  ['A <a@b>\r\nBcc: x@y', null],
  ['A\r\nBcc: x@y <a@b>', null],
])('the sender %j', (text, expected) => {
  expect(parseSenderAddress(text)).toEqual(expected);
});
