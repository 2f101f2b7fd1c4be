import { signingAlgorithms } from '../signing-keys/signing-key.ts';
import { acrValues } from './acr.ts';
import { grantTypesOf } from './grant-types.ts';
import type { OidcSettings } from './oidc-settings.ts';
import { claimsOfScopes, standardScopes } from './scopes.ts';

/** Where the endpoints are, below the issuer. */
export const paths = {
  authorization: '/authorize',
  token: '/token',
  pushed_authorization_request: '/par',
  device_authorization: '/device/authorization',
  code_verification: '/device',
  registration: '/register',
  jwks: '/jwks.json',
  userinfo: '/userinfo',
  introspection: '/introspect',
  revocation: '/revoke',
  end_session: '/logout',
} as const;

/** JWS algorithms of a proof of possession (RFC 9449 §4.2) that are taken. */
export const proofAlgorithms = ['ES256', 'Ed25519', 'EdDSA'] as const;

/**
 * What an issuer with these settings does (RFC 8414 §2, OpenID Connect Discovery 1.0 §3): what the library would say, and
 * what is answered without it. Made without it, since most who ask for this ask for nothing else.
 *
 * @param issuer its URL
 */
export function providerMetadata(issuer: string, settings: OidcSettings): Record<string, unknown> {
  const at = (path: string) => `${issuer}${path}`;
  const methods = ['client_secret_basic', 'client_secret_post'];
  return {
    issuer,
    authorization_endpoint: at(paths.authorization),
    token_endpoint: at(paths.token),
    userinfo_endpoint: at(paths.userinfo),
    jwks_uri: at(paths.jwks),
    end_session_endpoint: at(paths.end_session),
    introspection_endpoint: at(paths.introspection),
    revocation_endpoint: at(paths.revocation),
    pushed_authorization_request_endpoint: at(paths.pushed_authorization_request),
    ...(settings.device_flow && { device_authorization_endpoint: at(paths.device_authorization) }),
    ...(settings.registration !== 'off' && { registration_endpoint: at(paths.registration) }),
    scopes_supported: standardScopes,
    claims_supported: [...Object.values(claimsOfScopes).flat(), 'acr', 'iss', 'sid'],
    claim_types_supported: ['normal'],
    claims_parameter_supported: true,
    request_parameter_supported: false,
    request_uri_parameter_supported: false,
    response_types_supported: ['code'],
    response_modes_supported: ['form_post', 'fragment', 'query'],
    grant_types_supported: [...grantTypesOf(settings)],
    subject_types_supported: ['public'],
    acr_values_supported: acrValues,
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: [...methods, 'none'],
    introspection_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: [...methods, 'none'],
    authorization_response_iss_parameter_supported: true,
    id_token_signing_alg_values_supported: signingAlgorithms,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    ...(settings.dpop && { dpop_signing_alg_values_supported: proofAlgorithms }),
  };
}
