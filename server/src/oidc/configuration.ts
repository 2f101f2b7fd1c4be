import {
  type Client,
  type Context,
  type ExternalSigningKey,
  errors,
  type Session,
  type Token,
} from 'oidc-provider';
import { isOriginOfSome } from '../clients/redirect-uri.ts';
import { type SigningAlgorithm, signingAlgorithms } from '../signing-keys/signing-key.ts';
import { acrValues } from './acr.ts';
import {
  apiScopesOf,
  mayAskForResource,
  ownMetadata,
  secondsOfAccessToken,
  secondsOfRefreshToken,
  secondsOfSession,
} from './client-metadata.ts';
import { CookieKeys } from './cookie-keys.ts';
import { loadGrant } from './grants.ts';
import { checkAuthorizationRequest, policyOf } from './interaction-policy.ts';
import { paths, proofAlgorithms } from './metadata.ts';
import { pagesOf } from './pages.ts';
import type { IssuerRuntime } from './runtime.ts';
import { claimsOfScopes, standardScopes } from './scopes.ts';
import { findUser } from './users.ts';

/** Seconds for which an interaction waits for the user. */
const interactionSeconds = 3_600;
const codeSeconds = 60;
const deviceCodeSeconds = 600;
/** How long it has to last at first; each refresh token prolongs it. See `prolongGrant`. */
const grantSeconds = 86_400;

/** How the library is to work for an issuer. What it offers and is not named here is off. */
export function configurationOf(
  runtime: IssuerRuntime,
  how: {
    adapter: (model: string) => unknown;
    keys: readonly ExternalSigningKey[];
    algorithm: SigningAlgorithm;
  },
): Record<string, unknown> {
  const { oidc, url } = runtime;
  return {
    acrValues: [...acrValues],
    adapter: how.adapter,
    allowOmittingSingleRegisteredRedirectUri: false,
    jwks: { keys: how.keys },
    claims: { ...claimsOfScopes, acr: null, iss: null, sid: null },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    clientBasedCORS: mayPageAsk,
    clientDefaults: { id_token_signed_response_alg: how.algorithm },
    // What the scopes ask for stands in the ID token as well: most applications look nowhere else.
    conformIdTokenClaims: false,
    cookies: cookiesOf(runtime),
    enabledJWA: {
      idTokenSigningAlgValues: [...signingAlgorithms],
      dPoPSigningAlgValues: [...proofAlgorithms],
    },
    // Codes and tokens end with the session of the client, which is asked each time.
    expiresWithSession: async () => false,
    extraClientMetadata: { properties: [...ownMetadata] },
    extraParams: { org: checkAuthorizationRequest },
    features: featuresOf(runtime),
    findAccount: (_context: Context, userId: string) => findUser(runtime, userId),
    interactions: {
      policy: policyOf(runtime),
      url: async (_context: Context, { uid }: { uid: string }) => `${url}/login/${uid}`,
    },
    issueRefreshToken: async (_context: Context, client: Client) => client.grantTypeAllowed('refresh_token'),
    loadExistingGrant: (context: Context) => loadGrant(runtime, context),
    pkce: { required: requireChallenge },
    renderError: pagesOf(runtime).renderError,
    // It goes with its session, in the same transaction; see `RecordAdapter.revokeByGrantId`.
    revokeGrantPolicy: () => false,
    responseTypes: ['code'],
    rotateRefreshToken: true,
    routes: paths,
    scopes: [...standardScopes],
    subjectTypes: ['public'],
    ttl: {
      AccessToken: (_context: Context, _token: Token, client: Client) =>
        secondsOfAccessToken(runtime, client),
      ClientCredentials: (_context: Context, _token: Token, client: Client) =>
        secondsOfAccessToken(runtime, client),
      IdToken: (_context: Context, _token: Token, client: Client) => secondsOfAccessToken(runtime, client),
      RefreshToken: (_context: Context, _token: Token, client: Client) =>
        secondsOfRefreshToken(runtime, client),
      AuthorizationCode: codeSeconds,
      DeviceCode: deviceCodeSeconds,
      Grant: (_context: Context, _grant: Token, client: Client | undefined) =>
        Math.max(grantSeconds, secondsOfSession(runtime, client ?? runtime.context.current?.oidc.client)),
      Interaction: interactionSeconds,
      // Of somebody who has not signed in it is worth no more than what was begun with it.
      Session: (_context: Context, session: Session) =>
        session.accountId === undefined ? interactionSeconds : oidc.login_seconds,
    },
  };
}

/** Cookies of issuers on one host do not meet: each has its path, its names and its own signatures. */
function cookiesOf({ issuer, secrets, url }: IssuerRuntime) {
  const { pathname, protocol } = new URL(url);
  // A page of another host below the same domain can't set one that begins so by plain HTTP (RFC 6265bis §4.1.3).
  const prefix = protocol === 'https:' ? '__Secure-' : '';
  const common = { httpOnly: true, sameSite: 'lax', secure: protocol === 'https:', signed: true };
  return {
    keys: new CookieKeys(secrets, issuer.id),
    names: {
      session: `${prefix}gl_login_${issuer.id}`,
      interaction: `${prefix}gl_interaction_${issuer.id}`,
      resume: `${prefix}gl_resume_${issuer.id}`,
    },
    long: { ...common, path: `${pathname}/` },
    // Without a path: each is for one page alone, which the library says.
    short: common,
  };
}

function featuresOf(runtime: IssuerRuntime) {
  const { oidc, url } = runtime;
  const pages = pagesOf(runtime);
  return {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    clientCredentials: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    externalSigningSupport: { enabled: true, ack: 'experimental-01' },
    dPoP: { enabled: oidc.dpop },
    deviceFlow: {
      enabled: oidc.device_flow,
      mask: '****-****',
      charset: 'base-20',
      userCodeInputSource: pages.userCodeInputSource,
      userCodeConfirmSource: pages.userCodeConfirmSource,
      successSource: pages.successSource,
      // Whose the device says it is, nobody can tell.
      deviceInfo: () => ({}),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: async (_context: Context, _client: Client, oneOf?: string[]) =>
        oneOf === undefined || oneOf.includes(url) ? url : oneOf,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (_context: Context, resource: string, client: Client) =>
        resourceOf(runtime, resource, client),
    },
    // These are answered without the library, which takes no JWT there; it has to know of userinfo to let claims be
    // asked for there.
    introspection: { enabled: false },
    revocation: { enabled: false },
    userinfo: { enabled: true },
    jwtUserinfo: { enabled: false },
    rpInitiatedLogout: { enabled: false },
  };
}

/** @throws the library's error for a resource that neither the client nor every client of the issuer was given */
function resourceOf(runtime: IssuerRuntime, resource: string, client: Client) {
  if (!mayAskForResource(runtime, client, resource))
    throw new errors.InvalidTarget(
      'unknown resource: add it to settings.openid.resource_indicators of the client, or to resources of the issuer in its OIDC settings',
    );
  return {
    scope: apiScopesOf(client).join(' '),
    audience: resource,
    accessTokenFormat: 'jwt',
  };
}

/**
 * Asked where a request has no code challenge.
 *
 * @throws the library's error where the client has to send one: its own would not say what is missing
 */
function requireChallenge(_context: Context, client: Client): boolean {
  if (client.pkce_required === false) return false;
  throw new errors.InvalidRequest(
    "code_challenge is missing: the client's PKCE policy requires it, with code_challenge_method=S256",
  );
}

/** A page may ask from where a client without a secret has its users sent back to; a secret is nothing for a page. */
function mayPageAsk(_context: Context, origin: string, client: Client): boolean {
  return client.clientAuthMethod === 'none' && isOriginOfSome(client.redirectUris, origin);
}
