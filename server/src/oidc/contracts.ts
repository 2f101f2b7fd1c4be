import { z } from 'zod';
import { defineContract } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import { organizationClaims } from '../members/member-schema.ts';
import { paths } from './metadata.ts';

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
function failing(status: string, pages = false) {
  return { description: status, schema: oauthError, ...(pages && { isPageToo: true }) };
}

const errorsOfForms = {
  400: failing('The request is not one that can be answered.'),
  401: failing('The client is not who it says, or has no right credentials.'),
  403: failing('The issuer or its account is suspended, or the client may not ask.'),
  413: failing('The form is too long.'),
  503: failing('Try again shortly.'),
};

const tokenBody = z
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

const tokenAnswer = z
  .object({
    access_token: z.string().describe('A JWT (RFC 9068).'),
    token_type: z.enum(['Bearer', 'DPoP']),
    expires_in: z.int(),
    scope: z.string().optional(),
    refresh_token: z.string().optional().describe('The next one; that which was sent is used up.'),
    id_token: z.string().optional(),
  })
  .meta({ id: 'TokenAnswer' });

const tokenOnly = z
  .object({ token: z.string(), token_type_hint: z.string().optional() })
  .meta({ id: 'TokenToLookAt', examples: [{ token: 'EXAMPLE' }] });

const introspection = z
  .looseObject({
    active: z.boolean(),
    organizations: organizationClaims.optional(),
  })
  .meta({ id: 'Introspection', description: 'RFC 7662 §2.2: the claims of a token that counts.' });

const userinfo = z
  .looseObject({ sub: z.string(), organizations: organizationClaims })
  .meta({ id: 'UserInfo', description: 'What the scopes of the token ask for.' });

/** Parameters of an authorization request. */
const authorizeQuery = z.object({
  client_id: z.string().meta({ examples: ['c_EXAMPLE'] }),
  response_type: z.string().optional().describe('`code`.'),
  redirect_uri: z.string().optional(),
  scope: z.string().optional(),
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

const authorizeForm = authorizeQuery.meta({
  id: 'AuthorizationRequest',
  examples: [{ client_id: 'c_EXAMPLE', response_type: 'code', scope: 'openid' }],
});

const logoutQuery = z.object({
  id_token_hint: z.string().optional(),
  client_id: z.string().optional(),
  post_logout_redirect_uri: z.string().optional(),
  state: z.string().optional(),
});

const sentOn = { description: 'Where the browser goes on.', headers: ['Location'] };
const pageErrors = {
  400: failing('The request is not one that can be answered, nor sent back to where it came from.', true),
  403: failing('The issuer or its account is suspended.', true),
  413: failing('The request is too long.', true),
  503: failing('Try again shortly.', true),
};
const browser = { security: 'none', params: issuerParams } as const;
const ofClient = { security: 'client', params: issuerParams, isForm: true } as const;

/** What the OIDC runtime of an issuer answers; the edge does. */
export const oidcContracts = [
  defineContract({
    ...browser,
    method: 'GET',
    path: `/{issuer_id}${paths.authorization}`,
    operationId: 'oidc.authorize',
    summary: 'Ask a user to sign in',
    description:
      'RFC 6749 §4.1, OpenID Connect Core 1.0 §3.1.2, with PKCE. Send the browser here; it comes back to the redirect URI.',
    query: authorizeQuery,
    responses: { 303: sentOn, 200: { description: 'A page.', contentType: 'text/html' }, ...pageErrors },
  }),
  defineContract({
    ...browser,
    method: 'POST',
    path: `/{issuer_id}${paths.authorization}`,
    operationId: 'oidc.postAuthorize',
    summary: 'The same by a form',
    isForm: true,
    body: authorizeForm,
    responses: { 303: sentOn, ...pageErrors },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.token}`,
    operationId: 'oidc.token',
    summary: 'Get tokens',
    description:
      'For an authorization code, a refresh token, a device code, or the client itself. A code or a refresh token that is shown a second time ends its session.',
    body: tokenBody,
    responses: {
      200: { description: 'The tokens.', schema: tokenAnswer },
      ...errorsOfForms,
      429: failing('The session has had its refreshes of this hour.'),
    },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.pushed_authorization_request}`,
    operationId: 'oidc.pushAuthorization',
    summary: 'Push an authorization request (RFC 9126)',
    body: authorizeForm,
    responses: {
      201: {
        description: 'Its name, for a minute.',
        schema: z
          .object({ request_uri: z.string(), expires_in: z.int() })
          .meta({ id: 'PushedAuthorizationRequest' }),
      },
      ...errorsOfForms,
    },
  }),
  defineContract({
    ...browser,
    security: 'access-token',
    method: 'GET',
    path: `/{issuer_id}${paths.userinfo}`,
    operationId: 'oidc.userinfo',
    summary: 'Who is the user of this token?',
    description: 'OpenID Connect Core 1.0 §5.3. Pages of any origin may ask.',
    responses: { 200: { description: 'The user.', schema: userinfo }, ...errorsOfForms },
  }),
  defineContract({
    ...browser,
    security: 'access-token',
    method: 'POST',
    path: `/{issuer_id}${paths.userinfo}`,
    operationId: 'oidc.postUserinfo',
    summary: 'The same by POST',
    responses: { 200: { description: 'The user.', schema: userinfo }, ...errorsOfForms },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.introspection}`,
    operationId: 'oidc.introspect',
    summary: 'Does this token still count? (RFC 7662)',
    description:
      'Of tokens of this issuer, for its clients with a secret. The organizations are those of now.',
    body: tokenOnly,
    responses: { 200: { description: 'What it says.', schema: introspection }, ...errorsOfForms },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.revocation}`,
    operationId: 'oidc.revoke',
    summary: 'Give a token back (RFC 7009)',
    description:
      'A refresh token ends its session; an access token alone is refused from then on, and whatever verifies it without asking us takes it until its `exp`.',
    body: tokenOnly,
    responses: { 200: { description: 'It does not count any more.' }, ...errorsOfForms },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: '/{issuer_id}/keyinfo',
    operationId: 'oidc.keyinfo',
    summary: 'Does this API key still count?',
    description:
      'What introspection says of a token, of a key of one of the issuer’s organizations. Counts against its limits and is metered, as any verification.',
    body: z
      .object({ key: z.string() })
      .meta({ id: 'KeyToLookAt', examples: [{ key: 'gl_live_sk_EXAMPLE' }] }),
    responses: {
      200: { description: 'What it says.', schema: introspection },
      ...errorsOfForms,
      429: failing('A limit of the key has no room.'),
    },
  }),
  defineContract({
    ...browser,
    method: 'GET',
    path: `/{issuer_id}${paths.end_session}`,
    operationId: 'oidc.logout',
    summary: 'Sign the user of this browser out',
    description:
      'OpenID Connect RP-Initiated Logout 1.0. At once with an ID token of this very login, else once the user has said so. Clients with a back-channel logout URI are told.',
    query: logoutQuery,
    responses: {
      200: { description: 'A page.', contentType: 'text/html' },
      303: sentOn,
      ...pageErrors,
    },
  }),
  defineContract({
    ...browser,
    method: 'POST',
    path: `/{issuer_id}${paths.end_session}`,
    operationId: 'oidc.postLogout',
    summary: 'The same by a form',
    isForm: true,
    body: logoutQuery.meta({ id: 'LogoutForm', examples: [{ state: 'x' }] }),
    responses: {
      200: { description: 'A page.', contentType: 'text/html' },
      303: sentOn,
      ...pageErrors,
    },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.device_authorization}`,
    operationId: 'oidc.authorizeDevice',
    summary: 'Ask a user to connect a device (RFC 8628)',
    description: 'Where `device_flow` of the issuer’s OIDC settings is on.',
    body: z
      .object({ client_id: z.string(), scope: z.string().optional() })
      .meta({ id: 'DeviceAuthorizationRequest', examples: [{ client_id: 'c_EXAMPLE', scope: 'openid' }] }),
    responses: {
      200: {
        description: 'What to show the user, and what to ask the token endpoint with.',
        schema: z
          .object({
            device_code: z.string(),
            user_code: z.string(),
            verification_uri: z.string(),
            verification_uri_complete: z.string(),
            expires_in: z.int(),
          })
          .meta({ id: 'DeviceAuthorization' }),
      },
      ...errorsOfForms,
    },
  }),
  defineContract({
    method: 'POST',
    path: `/{issuer_id}${paths.registration}`,
    operationId: 'oidc.register',
    summary: 'Register a client (RFC 7591)',
    description:
      'Where `registration` of the issuer’s OIDC settings is `open`, or `token`: then with an API key as the initial access token that holds `gatelodge.clients:write`. Members that are not known are passed over. Clients made so are external, and users are asked for their consent.',
    security: 'none',
    params: issuerParams,
    body: z
      .looseObject({ redirect_uris: z.array(z.string()).optional(), client_name: z.string().optional() })
      .meta({
        id: 'ClientRegistration',
        examples: [{ redirect_uris: ['https://app.example/callback'], client_name: 'App' }],
      }),
    responses: {
      201: {
        description: 'The client; its secret is on this answer only.',
        schema: z
          .looseObject({ client_id: z.string(), client_secret: z.string().optional() })
          .meta({ id: 'RegisteredClient' }),
      },
      ...errorsOfForms,
      415: failing('Send JSON.'),
    },
  }),
  defineContract({
    ...browser,
    method: 'GET',
    path: `/{issuer_id}${paths.code_verification}`,
    operationId: 'oidc.device',
    summary: 'Where a user types the code of a device',
    query: z.object({ user_code: z.string().optional() }),
    responses: { 200: { description: 'A page.', contentType: 'text/html' }, 303: sentOn, ...pageErrors },
  }),
  defineContract({
    ...browser,
    method: 'POST',
    path: `/{issuer_id}${paths.code_verification}`,
    operationId: 'oidc.postDevice',
    summary: 'Connect the device that shows this code',
    isForm: true,
    body: z
      .object({
        user_code: z.string(),
        xsrf: z.string().optional(),
        confirm: z.string().optional(),
        abort: z.string().optional(),
      })
      .meta({ id: 'UserCodeForm', examples: [{ user_code: 'BCDF-GHJK' }] }),
    responses: { 200: { description: 'A page.', contentType: 'text/html' }, 303: sentOn, ...pageErrors },
  }),
];
