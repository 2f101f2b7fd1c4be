import { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import { defineContract } from '../http/route.ts';
import { authMeAnswer, logoutBody, refreshBody, signedInAnswer, signedOutAnswer } from './auth-schema.ts';

const errors: ErrorCode[] = ['invalid_token', 'account_suspended', 'issuer_suspended'];

const refresh = {
  method: 'POST',
  summary: 'Carry a session on',
  description:
    'Takes a refresh token, alone and once, and answers the next one with another access token. One that is shown a second time ends its session: two hold it. A session has 60 refreshes an hour.',
  security: 'none',
  speaksDialects: true,
  body: refreshBody,
  responses: { 200: { description: 'Carried on.', schema: signedInAnswer } },
  errors: [...errors, 'invalid_request', 'rate_limited'],
} as const;

const logout = {
  method: 'POST',
  summary: 'Sign a user out',
  description:
    'Ends the session of the access token, or of the refresh token in the body. A JWT that is verified without asking us is good until its `exp`.',
  security: 'access-token',
  speaksDialects: true,
  body: logoutBody,
  responses: { 200: { description: 'Signed out.', schema: signedOutAnswer } },
  errors: [...errors, 'invalid_request'],
} as const;

const me = {
  method: 'GET',
  summary: 'Who is signed in?',
  description:
    'Takes the access token of sign-in by e-mailed code alone; those of OIDC clients go to `/{issuer_id}/userinfo`. Pages of any origin may ask.',
  security: 'access-token',
  speaksDialects: true,
  responses: { 200: { description: 'The user.', schema: authMeAnswer } },
  errors,
} as const;

const params = z.object({ issuer_id: z.string() });

/** What a signed-in user does by tokens of its own, which the edge answers. */
export const authContracts = [
  defineContract({
    ...refresh,
    errors: [...refresh.errors],
    path: '/auth/refresh',
    operationId: 'auth.refresh',
  }),
  defineContract({ ...logout, errors: [...logout.errors], path: '/auth/logout', operationId: 'auth.logout' }),
  defineContract({ ...me, path: '/auth/me', operationId: 'auth.me' }),
  defineContract({
    ...refresh,
    errors: [...refresh.errors],
    params,
    path: '/{issuer_id}/auth/refresh',
    operationId: 'issuer.auth.refresh',
  }),
  defineContract({
    ...logout,
    errors: [...logout.errors],
    params,
    path: '/{issuer_id}/auth/logout',
    operationId: 'issuer.auth.logout',
  }),
  defineContract({ ...me, params, path: '/{issuer_id}/auth/me', operationId: 'issuer.auth.me' }),
];
