import { expect, test } from 'vitest';
import { splitIssuerPath } from './issuer-path.ts';

test.each([
  ['/i_1/jwks.json', 'i_1', '/jwks.json'],
  ['/i_1/jwks.json?x=/a', 'i_1', '/jwks.json'],
  ['/i_1/auth/request-otp', 'i_1', '/auth/request-otp'],
  ['/auth/request-otp', null, '/auth/request-otp'],
  ['/auth/request-otp?i=/i_1/auth/', null, '/auth/request-otp'],
  // One issuer at the most, and none that is called `auth`.
  ['/auth/jwks.json', null, '/auth/jwks.json'],
  ['/auth/auth/me', null, '/auth/auth/me'],
  ['/i_1/i_2/jwks.json', 'i_1', '/i_2/jwks.json'],
  ['/i_1//jwks.json', 'i_1', '//jwks.json'],
  ['//jwks.json', '', '/jwks.json'],
  ['/jwks.json', null, '/jwks.json'],
  ['/i%5F1/jwks.json', 'i%5F1', '/jwks.json'],
  ['/', null, '/'],
  ['', null, ''],
  ['?', null, ''],
])('%s is of the issuer %s', (url, issuerId, rest) => {
  expect(splitIssuerPath(url)).toEqual({ issuerId, rest });
});
