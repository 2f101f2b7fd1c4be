import { z } from 'zod';
import { defineContract } from '../http/route.ts';
import { issuerParams } from '../issuers/issuer-schema.ts';
import {
  authorizeForm,
  authorizeQuery,
  browser,
  errorsOfBegun,
  errorsOfForms,
  errorsOfKept,
  failing,
  introspection,
  logoutPageQuery,
  logoutQuery,
  ofClient,
  pageErrors,
  requestedScope,
  sentOn,
  tokenAnswer,
  tokenBody,
  tokenOnly,
  userinfo,
} from './contract-schemas.ts';
import { paths } from './metadata.ts';

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
    responses: { 303: sentOn, 200: { description: 'A page.', contentType: 'text/html' }, ...errorsOfBegun },
  }),
  defineContract({
    ...browser,
    method: 'POST',
    path: `/{issuer_id}${paths.authorization}`,
    operationId: 'oidc.postAuthorize',
    summary: 'The same by a form',
    isForm: true,
    body: authorizeForm,
    responses: { 303: sentOn, ...errorsOfBegun },
  }),
  defineContract({
    ...ofClient,
    method: 'POST',
    path: `/{issuer_id}${paths.token}`,
    operationId: 'oidc.token',
    summary: 'Get tokens',
    description:
      'For an authorization code, a refresh token, a device code, or the client itself. A code or a refresh token that is shown a second time ends its session. With `invalid_grant`, `error_description` says what of the request does not fit, where that is the client’s own.',
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
      ...errorsOfKept,
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
      'Of tokens of this issuer, for its clients with a secret that have not registered themselves; for external ones, of their own tokens and of those that name them as audience. The organizations are those of now.',
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
      'OpenID Connect RP-Initiated Logout 1.0. At once with an ID token of this very login, else once the user has said so. Where nobody was asked, or the client has registered itself, the way on is a link on our page. Clients with a back-channel logout URI are told.',
    query: logoutPageQuery,
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
      .object({ client_id: z.string(), scope: requestedScope })
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
      ...errorsOfKept,
    },
  }),
  defineContract({
    method: 'POST',
    path: `/{issuer_id}${paths.registration}`,
    operationId: 'oidc.register',
    summary: 'Register a client (RFC 7591)',
    description:
      'Where `registration` of the issuer’s OIDC settings is `open`, or `token`: then with an API key as the initial access token that holds `gatelodge.clients:write`. Members that are not known are passed over; a scope that is neither a standard one nor in `registration_scopes` is refused. Clients made so are external, and users are asked for their consent.',
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
      429: failing('Without a token: too many from this network; try again in a minute.'),
    },
  }),
  defineContract({
    ...browser,
    method: 'GET',
    path: `/{issuer_id}${paths.code_verification}`,
    operationId: 'oidc.device',
    summary: 'Where a user types the code of a device',
    query: z.object({ user_code: z.string().optional() }),
    responses: { 200: { description: 'A page.', contentType: 'text/html' }, 303: sentOn, ...errorsOfBegun },
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
    responses: { 200: { description: 'A page.', contentType: 'text/html' }, 303: sentOn, ...errorsOfBegun },
  }),
];
