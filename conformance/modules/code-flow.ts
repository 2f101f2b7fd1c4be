import { authorizationRequest, authorize, challengeOf, errorFrom } from '../protocol/authorization.ts';
import { finishSignIn, signIn } from '../protocol/sign-in.ts';
import { claimsOfScope, idTokenClaims } from '../protocol/standard-claims.ts';
import { askForUserinfo, userinfoFrom } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

/** RFC 6749 §10.10: what is handed out must not be guessed. */
const minCodeBits = 128;

/** The original warns of each claim that it does not know; here those that the config names are known. */
export const server: ConformanceModule = {
  name: 'oidcc-server',
  shows:
    'signing in by the code flow works, every parameter and claim of it is right, and the token opens UserInfo',
  run: async (trial: Trial) => {
    const { code, claims, tokens } = await signIn(trial);
    trial.check(code.length * 8 >= minCodeBits, 'the code is shorter than 128 bits (RFC 6749 §10.10)');
    trial.check(entropyOf(code) >= minCodeBits / 2, 'the code is hardly random (RFC 6749 §10.10)');
    trial.advise(
      claims.name === undefined,
      'the ID token has a name that nobody asked for there (Core §5.5)',
    );
    const known = [...idTokenClaims, ...trial.config.extraIdTokenClaims];
    const unasked = Object.keys(claims).filter((name) => !known.includes(name));
    trial.advise(unasked.length === 0, `the ID token has ${unasked.join(', ')} that nobody asked for`);
    userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
  },
};

export const serverClientSecretPost: ConformanceModule = {
  name: 'oidcc-server-client-secret-post',
  shows: 'the same with a client that sends its secret in the body',
  run: async (trial: Trial) => {
    const { client, secondClient } = trial.config;
    const posting = [client, secondClient].find(({ authMethod }) => authMethod === 'client_secret_post');
    if (posting === undefined) trial.skip('neither client is registered for client_secret_post');
    const methods = trial.metadata.list('token_endpoint_auth_methods_supported') ?? ['client_secret_basic'];
    trial.check(
      methods.includes('client_secret_post'),
      'token_endpoint_auth_methods_supported lacks client_secret_post (Discovery §3)',
    );
    const { tokens, claims } = await signIn(trial, { client: posting });
    userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
  },
};

export const responseTypeMissing: ConformanceModule = {
  name: 'oidcc-response-type-missing',
  shows: 'a request without response_type is refused, on a page or back at the client',
  run: async (trial: Trial) => {
    const request = authorizationRequest(trial, { response_type: undefined });
    const journey = await authorize(trial, trial.suite.regular(), request);
    if (journey.landing.kind === 'arrival') {
      errorFrom(trial, request, journey, ['invalid_request', 'unsupported_response_type']);
      return;
    }
    const { status } = journey.landing.page.answer;
    trial.check(
      status >= 400 && status < 500,
      `the page that should say so has status ${status} (RFC 6749 §3.1.1)`,
    );
  },
};

export const withoutNonce: ConformanceModule = {
  name: 'oidcc-ensure-request-without-nonce-succeeds-for-code-flow',
  shows: 'the code flow works without a nonce, and the ID token has none either',
  run: async (trial: Trial) => {
    await signIn(trial, { parameters: { nonce: undefined } });
  },
};

export const alternateHappyFlow: ConformanceModule = {
  name: 'oidcc-alternate-happy-flow',
  shows: 'neither the order of parameters nor that of scopes matters',
  run: async (trial: Trial) => {
    const request = authorizationRequest(trial, { scope: 'email openid' });
    const reversed = Object.fromEntries(Object.entries(request.parameters).reverse());
    const journey = await authorize(trial, trial.suite.regular(), { ...request, parameters: reversed });
    const { tokens, claims } = await finishSignIn(trial, request, journey);
    const userinfo = userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
    const supported = trial.metadata.list('claims_supported') ?? claimsOfScope.email;
    trial.advise(
      userinfo.email !== undefined || !supported.includes('email'),
      'scope email was granted, and UserInfo has no email (Core §5.4)',
    );
  },
};

export const unknownParameter: ConformanceModule = {
  name: 'oidcc-ensure-request-with-unknown-parameter-succeeds',
  shows: 'a parameter that no specification knows is ignored',
  run: async (trial: Trial) => {
    await signIn(trial, { parameters: { extra: 'foobar' } });
  },
};

export const postRequest: ConformanceModule = {
  name: 'oidcc-ensure-post-request-succeeds',
  shows: 'the authorization endpoint takes POST as it takes GET',
  run: async (trial: Trial) => {
    const request = authorizationRequest(trial);
    const url = trial.metadata.url('authorization_endpoint');
    const form = new URLSearchParams(request.parameters);
    const journey = await trial.journey(trial.suite.regular(), url, form);
    await finishSignIn(trial, request, journey);
  },
};

export const validPkce: ConformanceModule = {
  name: 'oidcc-ensure-request-with-valid-pkce-succeeds',
  shows: 'a request with an S256 challenge, redeemed with its verifier, succeeds',
  run: async (trial: Trial) => {
    const verifier = trial.random();
    const parameters = { code_challenge: challengeOf(verifier), code_challenge_method: 'S256' };
    await signIn(trial, { parameters, tokenParameters: { code_verifier: verifier } });
  },
};

/** Bits by the frequency of the characters: low for what repeats itself or counts. */
function entropyOf(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  const perCharacter = [...counts.values()].map((count) => count / text.length);
  return text.length * perCharacter.reduce((sum, share) => sum - share * Math.log2(share), 0);
}
