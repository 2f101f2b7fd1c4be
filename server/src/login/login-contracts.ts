import { z } from 'zod';
import { defineContract } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { assetsPath } from './assets.ts';
import { loginPath } from './login-endpoint.ts';

const page = (description: string, headers: readonly string[] = []) => ({
  description,
  contentType: 'text/html',
  headers,
});

const browser = { security: 'none' } as const;
const params = issuerParams.extend({
  uid: z.string().describe('Of the sign-in that the browser has under way.'),
});

const errors = {
  400: page('The form can’t be read.'),
  403: page('The issuer is suspended, or the form was not sent by a page of this sign-in.'),
  404: page('The sign-in is over, or another browser’s.'),
  413: page('The form is too long.'),
  503: page('Try again shortly.', ['Retry-After']),
};

/** The pages of the hosted login: for browsers, which the runtime sends here. */
export const loginContracts = [
  defineContract({
    ...browser,
    params,
    method: 'GET',
    path: `/{issuer_id}${loginPath}/{uid}`,
    operationId: 'login.show',
    summary: 'What the user is asked next',
    description:
      'The address, the mailed code, the organization, or what a client may do. `/authorize` sends the browser here; there is nothing to be called by a program.',
    query: z.object({
      q: z.string().optional().describe('A part of an organization’s name.'),
      after: z.string().optional().describe('The organization that the last page has ended with.'),
    }),
    responses: {
      200: page('The page.'),
      303: { description: 'The user has answered already.', headers: ['Location'] },
      ...errors,
      422: page('The page, with what is wrong about the last answer.'),
      429: page('The page: there have been too many codes or attempts.', ['Retry-After']),
    },
  }),
  defineContract({
    ...browser,
    params,
    method: 'POST',
    path: `/{issuer_id}${loginPath}/{uid}`,
    operationId: 'login.take',
    summary: 'What the user has answered',
    isForm: true,
    body: z
      .object({
        action: z.string(),
        token: z.string().describe('Of the page: without it nothing is done.'),
        email: z.string().optional(),
        code: z.string().optional(),
        organization: z.string().optional(),
        decision: z.string().optional(),
      })
      .meta({
        id: 'LoginForm',
        examples: [{ action: 'address', token: 'EXAMPLE', email: 'alice@example.com' }],
      }),
    responses: {
      303: { description: 'Back to the page, or on to the client.', headers: ['Location'] },
      ...errors,
    },
  }),
  defineContract({
    ...browser,
    params: issuerParams.extend({ asset_name: z.string() }),
    method: 'GET',
    path: `/{issuer_id}${assetsPath}/{asset_name}`,
    operationId: 'login.asset',
    summary: 'The style sheet and the script of the pages',
    responses: { 200: { description: 'The file.', contentType: 'text/css', headers: ['Cache-Control'] } },
  }),
];
