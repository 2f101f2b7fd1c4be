import type { ApplicationType } from './redirect-uri.ts';

/** Users of an `external` client are asked for their consent; those of a `first_party` one are not. */
export const clientTypes = ['external', 'first_party'] as const;
export type ClientType = (typeof clientTypes)[number];

export const applicationTypes = ['web', 'native', 'spa', 'm2m'] as const satisfies readonly ApplicationType[];

export const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code';
export const grantTypes = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  deviceCodeGrant,
] as const;
export type GrantType = (typeof grantTypes)[number];

export const authMethods = ['client_secret_basic', 'client_secret_post', 'none'] as const;
export type AuthMethod = (typeof authMethods)[number];

/** Client metadata by their names in RFC 7591 and its relatives, and what is ours beside them. */
export interface OpenIdSettings {
  application_type: ApplicationType;
  grant_types: GrantType[];
  redirect_uris: string[];
  post_logout_redirect_uris: string[];
  token_endpoint_auth_method: AuthMethod;
  pkce: 'required' | 'optional';
  /** RFC 9126 §6. */
  require_pushed_authorization_requests: boolean;
  /** RFC 9449 §5.2. */
  dpop_bound_access_tokens: boolean;
  /** What `resource` may name (RFC 8707); empty: nothing. */
  resource_indicators: string[];
  /** OpenID Connect Back-Channel Logout 1.0 §2.2. */
  backchannel_logout_uri: string | null;
  backchannel_logout_session_required: boolean;
  /** null: what the issuer's login settings say. */
  access_token_seconds: number | null;
  refresh_token_seconds: number | null;
  /** Whether who has consented once is not asked for the same again. */
  remember_consent: boolean;
}

/** A client's settings as they are stored: whole. */
export interface ClientSettings {
  protocol: 'oidc';
  /** The scopes of OAuth and OpenID Connect that it may ask for; those of organizations are no part of it. */
  scopes: string[];
  /** null: whatever scopes its users have in their organizations. */
  organization_scopes: string[] | null;
  openid: OpenIdSettings;
}

/** Settings as somebody sends them. */
export interface GivenSettings {
  protocol?: 'oidc' | undefined;
  scopes?: string[] | undefined;
  organization_scopes?: string[] | null | undefined;
  openid?: { [Member in keyof OpenIdSettings]?: OpenIdSettings[Member] | undefined } | undefined;
}

/** What decides about each other of a client. */
export interface ClientFacts {
  confidential: boolean;
  settings: ClientSettings;
}

/** Every default of what is given, spelled out. `confidential` follows from the kind of application unless it is given. */
export function withDefaults(given: {
  confidential?: boolean | undefined;
  settings?: GivenSettings | undefined;
}): ClientFacts {
  const { settings = {} } = given;
  const { openid = {} } = settings;
  const applicationType = openid.application_type ?? 'web';
  const isMachine = applicationType === 'm2m';
  // Whatever runs on its user's device can't keep a secret (RFC 6749 §2.1).
  const confidential = given.confidential ?? (applicationType === 'web' || isMachine);
  return {
    confidential,
    settings: {
      protocol: settings.protocol ?? 'oidc',
      scopes: settings.scopes ?? (isMachine ? [] : ['openid', 'profile', 'email']),
      organization_scopes: settings.organization_scopes ?? null,
      openid: {
        application_type: applicationType,
        // RFC 7591 §2: nothing but codes unless more is asked for.
        grant_types: openid.grant_types ?? [isMachine ? 'client_credentials' : 'authorization_code'],
        redirect_uris: openid.redirect_uris ?? [],
        post_logout_redirect_uris: openid.post_logout_redirect_uris ?? [],
        token_endpoint_auth_method:
          openid.token_endpoint_auth_method ?? (confidential ? 'client_secret_basic' : 'none'),
        pkce: openid.pkce ?? 'required',
        require_pushed_authorization_requests: openid.require_pushed_authorization_requests ?? false,
        dpop_bound_access_tokens: openid.dpop_bound_access_tokens ?? false,
        resource_indicators: openid.resource_indicators ?? [],
        backchannel_logout_uri: openid.backchannel_logout_uri ?? null,
        backchannel_logout_session_required: openid.backchannel_logout_session_required ?? false,
        access_token_seconds: openid.access_token_seconds ?? null,
        refresh_token_seconds: openid.refresh_token_seconds ?? null,
        remember_consent: openid.remember_consent ?? true,
      },
    },
  };
}
