import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose';
import type { ClientConfig } from '../config.ts';
import { claimsByScope, claimsOf } from './accounts.ts';
import { acr, interactionPath } from './login-pages.ts';
import { MemoryAdapter } from './memory-adapter.ts';
import type { OidcConfiguration } from './oidc-provider.ts';

const relyingParty = 'https://rp.example';

/** The clients of the bare provider. */
export const clients: readonly [ClientConfig, ClientConfig] = [
  {
    clientId: 'first',
    clientSecret: 'a-secret-of-the-first-client-only',
    authMethod: 'client_secret_basic',
    redirectUri: `${relyingParty}/callback`,
    postLogoutRedirectUri: `${relyingParty}/goodbye`,
  },
  {
    clientId: 'second',
    clientSecret: 'a-secret-of-the-second-client-only',
    authMethod: 'client_secret_post',
    redirectUri: `${relyingParty}/second/callback`,
    postLogoutRedirectUri: `${relyingParty}/second/goodbye`,
  },
];

/** The key of the bare provider: to sign with, and as its configuration takes it. */
export interface SigningKey {
  readonly privateKey: CryptoKey;
  readonly privateJwk: JWK;
}

/** Makes an RSA key, which takes a while. */
export async function makeSigningKey(): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const named = { kid: 'calibration', use: 'sig', alg: 'RS256' };
  return {
    privateKey,
    privateJwk: { ...(await exportJWK(privateKey)), ...named },
  };
}

/** The configuration of the bare provider: its defaults but for what its own login needs and what comments name. */
export function configurationOf({ privateJwk }: SigningKey): OidcConfiguration {
  return {
    adapter: () => new MemoryAdapter(),
    clients: clients.map((client) => ({
      client_id: client.clientId,
      client_secret: client.clientSecret,
      token_endpoint_auth_method: client.authMethod,
      redirect_uris: [client.redirectUri],
      post_logout_redirect_uris: [client.postLogoutRedirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    })),
    jwks: { keys: [privateJwk] },
    cookies: { keys: ['calibration'], long: { sameSite: 'none' } },
    acrValues: [acr],
    claims: claimsByScope,
    responseTypes: ['code'],
    // By default it rotates for public clients alone.
    rotateRefreshToken: true,
    // Core §3.1.2.1 wants POST; by default there is none, since a form of another site then needs SameSite=None.
    enableHttpPostMethods: true,
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `${interactionPath}${uid}` },
    features: {
      devInteractions: { enabled: false },
      claimsParameter: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context: { body: string }, form: string) => {
          context.body = `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
        },
        postLogoutSuccessSource: (context: { body: string }) => {
          context.body = '<p>You are signed out.</p>';
        },
      },
    },
    renderError: (context: { body: string; type: string }, { error }: { error: string }) => {
      context.type = 'html';
      context.body = `<p>${error.replaceAll(/[^a-z_]/g, '')}</p>`;
    },
    findAccount: (_context: unknown, accountId: string) => ({
      accountId,
      claims: () => claimsOf(accountId),
    }),
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      Grant: 3_600,
      IdToken: 600,
      Interaction: 600,
      RefreshToken: 3_600,
      Session: 3_600,
    },
  };
}
