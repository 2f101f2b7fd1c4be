import { z } from 'zod';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { organizationClaims } from '../members/member-schema.ts';

const oauthError = z
  .object({
    error: z.string().describe('RFC 6749 §5.2 and its relatives. Branch on this.'),
    error_description: z.string().optional(),
    scope: z.string().optional(),
    state: z.string().optional(),
    iss: z.string().optional(),
  })
  .meta({ id: 'OAuthError', description: 'An error as OAuth has it.' });

/** `pages`: a browser is answered a page. */
export function failing(status: string, pages = false) {
  return { description: status, schema: oauthError, ...(pages && { isPageToo: true }) };
}

export const errorsOfForms = {
  400: failing('The request is not one that can be answered.'),
  401: failing('The client is not who it says, or has no right credentials.'),
  403: failing('The issuer or its account is suspended, or the client may not ask.'),
  413: failing('The form is too long.'),
  503: failing('Try again shortly.'),
};

/** Where what is sent is kept. */
export const errorsOfKept = {
  ...errorsOfForms,
  411: failing('A body in pieces, of which nobody knows the length.'),
  429: failing('Too many from this network; try again in a minute.'),
};

export const tokenBody = z
  .object({
    grant_type: z.string(),
    code: z.string().optional(),
    redirect_uri: z.string().optional(),
    code_verifier: z.string().optional(),
    refresh_token: z.string().optional(),
    device_code: z.string().optional(),
    scope: z.string().optional(),
    resource: z.string().optional().describe('RFC 8707: whom the token is for; the issuer unless given.'),
  })
  .meta({ id: 'TokenRequest', examples: [{ grant_type: 'client_credentials' }] });

export const tokenAnswer = z
  .object({
    access_token: z.string().describe('A JWT (RFC 9068).'),
    token_type: z.enum(['Bearer', 'DPoP']),
    expires_in: z.int(),
    scope: z.string().optional(),
    refresh_token: z.string().optional().describe('The next one; that which was sent is used up.'),
    id_token: z.string().optional(),
  })
  .meta({ id: 'TokenAnswer' });

export const tokenOnly = z
  .object({ token: z.string(), token_type_hint: z.string().optional() })
  .meta({ id: 'TokenToLookAt', examples: [{ token: 'EXAMPLE' }] });

export const introspection = z
  .looseObject({
    active: z.boolean(),
    organizations: organizationClaims.optional(),
  })
  .meta({ id: 'Introspection', description: 'RFC 7662 §2.2: the claims of a token that counts.' });

export const userinfo = z
  .looseObject({ sub: z.string(), organizations: organizationClaims })
  .meta({ id: 'UserInfo', description: 'What the scopes of the token ask for.' });

/** `scope` of whatever begins a sign-in. */
export const requestedScope = z
  .string()
  .optional()
  .describe('Unknown ones are left out; `invalid_scope` where none is left, or the request has none.');

/** Parameters of an authorization request. */
export const authorizeQuery = z.object({
  client_id: z.string().meta({ examples: ['c_EXAMPLE'] }),
  response_type: z.string().optional().describe('`code`.'),
  redirect_uri: z.string().optional(),
  scope: requestedScope,
  state: z.string().optional(),
  nonce: z.string().optional(),
  code_challenge: z.string().optional(),
  code_challenge_method: z.string().optional().describe('`S256`.'),
  prompt: z.string().optional(),
  max_age: z.string().optional(),
  login_hint: z.string().optional(),
  ui_locales: z.string().optional(),
  resource: z.string().optional(),
  claims: z.string().optional(),
  request_uri: z.string().optional().describe('Of a pushed request (RFC 9126).'),
  org: z.string().optional().describe('The one organization that the tokens are to be for.'),
});

export const authorizeForm = authorizeQuery.meta({
  id: 'AuthorizationRequest',
  examples: [{ client_id: 'c_EXAMPLE', response_type: 'code', scope: 'openid' }],
});

export const logoutQuery = z.object({
  id_token_hint: z.string().optional(),
  client_id: z.string().optional(),
  post_logout_redirect_uri: z.string().optional(),
  state: z.string().optional(),
});

/** What our own page leads to as well. */
export const logoutPageQuery = logoutQuery.extend({
  stay: z.string().optional().describe('The user has been asked and stays signed in: nothing is ended.'),
});

export const sentOn = { description: 'Where the browser goes on.', headers: ['Location'] };
export const pageErrors = {
  400: failing('The request is not one that can be answered, nor sent back to where it came from.', true),
  403: failing('The issuer or its account is suspended.', true),
  413: failing('The request is too long.', true),
  503: failing('Try again shortly.', true),
};
/** Of pages that anybody may begin something at. */
export const errorsOfBegun = {
  ...pageErrors,
  429: failing('Too many from this network; try again in a minute.', true),
};
export const browser = { security: 'none', params: issuerParams } as const;
export const ofClient = { security: 'client', params: issuerParams, isForm: true } as const;
