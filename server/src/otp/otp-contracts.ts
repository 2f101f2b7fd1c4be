import { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import { defineContract } from '../http/route.ts';
import { requestOtpAnswer, requestOtpBody, verifyOtpAnswer, verifyOtpBody } from './otp-schema.ts';

const errors: ErrorCode[] = [
  'missing_key',
  'invalid_key',
  'revoked_key',
  'expired_key',
  'disabled_key',
  'ambiguous_credentials',
  'account_suspended',
  'issuer_suspended',
  'tenant_mismatch',
  'tenant_suspended',
  'origin_not_allowed',
  'secret_key_in_browser',
  'ip_not_allowed',
  'rate_limited',
  'quota_exceeded',
  'invalid_request',
];

const requestOtp = {
  method: 'POST',
  summary: 'Mail a code to sign in with',
  description:
    'The answer is the same whether or not there is such a user. The key comes in the header of any preset or in Authorization; errors have the form of its issuer’s key profile, `flat` without a key that is known. At most one code a minute and five an hour go to an address; a secret or a publishable key may ask.',
  speaksDialects: true,
  body: requestOtpBody,
  responses: { 200: { description: 'Asked for.', schema: requestOtpAnswer } },
} as const;

const verifyOtp = {
  method: 'POST',
  summary: 'Sign in with a mailed code',
  description:
    'A code is good once. An address that is no user’s yet becomes one, unless the issuer’s sign-up is off. What is wrong is told by `invalid_otp` with `attempts_left`; too many guesses are answered 429 for any address.',
  speaksDialects: true,
  body: verifyOtpBody,
  responses: { 200: { description: 'Signed in.', schema: verifyOtpAnswer } },
} as const;

const ofIssuer = { security: 'any-key', params: z.object({ issuer_id: z.string() }) } as const;

/** Sign-in by e-mailed code, which the edge answers. */
export const otpContracts = [
  defineContract({
    ...requestOtp,
    path: '/auth/request-otp',
    operationId: 'auth.requestOtp',
    security: 'any-key',
    errors,
  }),
  defineContract({
    ...verifyOtp,
    path: '/auth/verify-otp',
    operationId: 'auth.verifyOtp',
    security: 'any-key',
    errors: [...errors, 'invalid_otp'],
  }),
  defineContract({
    ...requestOtp,
    ...ofIssuer,
    path: '/{issuer_id}/auth/request-otp',
    operationId: 'issuer.auth.requestOtp',
    errors,
  }),
  defineContract({
    ...verifyOtp,
    ...ofIssuer,
    path: '/{issuer_id}/auth/verify-otp',
    operationId: 'issuer.auth.verifyOtp',
    errors: [...errors, 'invalid_otp'],
  }),
];
