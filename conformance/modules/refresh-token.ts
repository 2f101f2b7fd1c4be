import { setTimeout as sleep } from 'node:timers/promises';
import type { JWTPayload } from 'jose';
import type { ClientConfig } from '../config.ts';
import { checkIdToken } from '../protocol/id-token.ts';
import { type SignedIn, signIn } from '../protocol/sign-in.ts';
import {
  askForTokens,
  authenticationOf,
  checkRefusal,
  type TokenAnswer,
  type Tokens,
  tokensFrom,
} from '../protocol/token-endpoint.ts';
import { askForUserinfo, userinfoFrom } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

/** So that a new `iat` is another one. */
const nextSecondMs = 1_100;

export const refreshToken: ConformanceModule = {
  name: 'oidcc-refresh-token',
  shows:
    'a refresh token gives new tokens about the same user and sign-in, and only to the client it was given to',
  run: async (trial: Trial) => {
    const { client, secondClient } = trial.config;
    const first = await signInForRefresh(trial, client);
    await checkRefresh(trial, first, { scope: first.request.parameters.scope });
    const second = await signInForRefresh(trial, secondClient);
    const refreshed = await checkRefresh(trial, second, {});
    const stolen = await refresh(trial, client, refreshed.refreshToken ?? second.tokens.refreshToken!);
    checkRefusal(trial, stolen, {
      of: 'a refresh token of another client',
      errors: ['invalid_grant'],
    });
  },
};

/** Signs in so that there is a refresh token; the module is left out where the provider gives none. */
export async function signInForRefresh(trial: Trial, client: ClientConfig): Promise<SignedIn> {
  const isOffline = trial.metadata.list('scopes_supported')?.includes('offline_access') ?? false;
  // Core §11: offline access is granted with prompt=consent.
  const parameters = isOffline ? { scope: 'openid offline_access', prompt: 'consent' } : {};
  const signedIn = await signIn(trial, { client, parameters });
  const grants = trial.metadata.list('grant_types_supported') ?? ['authorization_code', 'implicit'];
  if (signedIn.tokens.refreshToken === undefined) {
    trial.require(
      !grants.includes('refresh_token'),
      'grant_types_supported has refresh_token, and no refresh token was given (Discovery §3)',
    );
    trial.skip('the provider gives no refresh tokens');
  }
  trial.advise(
    grants.includes('refresh_token'),
    'a refresh token was given, and grant_types_supported lacks refresh_token (Discovery §3)',
  );
  return signedIn;
}

/** Uses a refresh token as a client. */
export function refresh(
  trial: Trial,
  client: ClientConfig,
  token: string,
  parameters: { scope?: string | undefined } = {},
): Promise<TokenAnswer> {
  return askForTokens(trial, authenticationOf(client), {
    grant_type: 'refresh_token',
    refresh_token: token,
    ...parameters,
  });
}

async function checkRefresh(
  trial: Trial,
  signedIn: SignedIn,
  parameters: { scope?: string | undefined },
): Promise<Tokens> {
  const { client, tokens, claims } = signedIn;
  await sleep(nextSecondMs);
  const refreshed = tokensFrom(trial, await refresh(trial, client, tokens.refreshToken!, parameters));
  trial.check(
    refreshed.refreshToken === undefined || refreshed.refreshToken.length * 8 >= 128,
    'the refresh token is shorter than 128 bits (RFC 6749 §10.10)',
  );
  if (refreshed.idToken !== undefined) {
    const { nonce } = signedIn.request.parameters;
    const { accessToken, idToken } = refreshed;
    const after = await checkIdToken(trial, idToken, { client, nonce, accessToken, mayOmitNonce: true });
    checkSameSignIn(trial, claims, after);
  }
  userinfoFrom(trial, await askForUserinfo(trial, refreshed.accessToken), claims.sub);
  return refreshed;
}

/** Core §12.2. */
function checkSameSignIn(trial: Trial, before: JWTPayload, after: JWTPayload): void {
  for (const name of ['iss', 'sub', 'aud', 'azp'] as const) {
    const isSame = JSON.stringify(before[name]) === JSON.stringify(after[name]);
    trial.check(isSame, `${name} of the refreshed ID token is another one (Core §12.2)`);
  }
  trial.check(
    after.auth_time === undefined || before.auth_time === undefined || after.auth_time === before.auth_time,
    'auth_time of the refreshed ID token is not that of the sign-in (Core §12.2)',
  );
  trial.check(
    (after.iat ?? 0) > (before.iat ?? 0),
    'iat of the refreshed ID token is not its own (Core §12.2)',
  );
}
