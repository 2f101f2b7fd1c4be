import type { JWTPayload } from 'jose';
import type { Journey } from '../browser/login-driver.ts';
import type { ClientConfig } from '../config.ts';
import type { Trial, Visitor } from '../suite/trial.ts';
import {
  type AuthorizationRequest,
  authorizationRequest,
  authorize,
  codeFrom,
  type ParameterChanges,
} from './authorization.ts';
import { checkIdToken } from './id-token.ts';
import { redeem, type Tokens, tokensFrom } from './token-endpoint.ts';

/** A sign-in that went well, from the request to the ID token. */
export interface SignedIn {
  readonly client: ClientConfig;
  readonly request: AuthorizationRequest;
  readonly journey: Journey;
  readonly code: string;
  readonly tokens: Tokens;
  readonly idToken: string;
  readonly claims: JWTPayload;
}

export interface SignInOptions {
  /** The visitor who stays signed in for the whole run, unless it is somebody else. */
  readonly visitor?: Visitor;
  readonly client?: ClientConfig;
  /** Of the authorization request. */
  readonly parameters?: ParameterChanges;
  /** Of the token request. */
  readonly tokenParameters?: ParameterChanges;
}

/** Signs in and checks every step: the answer of the authorization endpoint, the tokens, the ID token. */
export async function signIn(trial: Trial, options: SignInOptions = {}): Promise<SignedIn> {
  const { visitor = trial.suite.regular(), client = trial.config.client } = options;
  const request = authorizationRequest(trial, options.parameters, client);
  const journey = await authorize(trial, visitor, request);
  return finishSignIn(trial, request, journey, options.tokenParameters);
}

/** The same, from an authorization request that a module has sent in a way of its own. */
export async function finishSignIn(
  trial: Trial,
  request: AuthorizationRequest,
  journey: Journey,
  tokenParameters: ParameterChanges = {},
): Promise<SignedIn> {
  const { client } = request;
  const code = codeFrom(trial, request, journey);
  const tokens = tokensFrom(trial, await redeem(trial, client, code, tokenParameters));
  const { nonce } = request.parameters;
  const { accessToken } = tokens;
  const claims = await checkIdToken(trial, tokens.idToken, { client, nonce, accessToken, code });
  return { client, request, journey, code, tokens, idToken: tokens.idToken!, claims };
}
