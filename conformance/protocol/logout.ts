import type { Journey } from '../browser/login-driver.ts';
import type { Trial, Visitor } from '../suite/trial.ts';
import {
  authorizationRequest,
  authorize,
  errorFrom,
  needsUser,
  type ParameterChanges,
} from './authorization.ts';
import { type SignedIn, signIn } from './sign-in.ts';

/** A sign-in that a module is going to end. */
export interface LogoutCase {
  readonly visitor: Visitor;
  readonly signedIn: SignedIn;
}

/** Somebody new signs in, since the visitor who stays signed in has to stay so. */
export async function signInToLogOut(trial: Trial): Promise<LogoutCase> {
  const visitor = trial.suite.newVisitor();
  return { visitor, signedIn: await signIn(trial, { visitor }) };
}

/**
 * Sends the browser to `end_session_endpoint` with hint, return address and a long state (RP-Initiated Logout §2),
 * changed as a module wants it, and says yes to whatever is asked.
 */
export function logOut(trial: Trial, logout: LogoutCase, changes: ParameterChanges = {}): Promise<Journey> {
  const url = trial.metadata.url('end_session_endpoint');
  const wanted: ParameterChanges = {
    id_token_hint: logout.signedIn.idToken,
    post_logout_redirect_uri: logout.signedIn.client.postLogoutRedirectUri,
    state: trial.random(96),
    ...changes,
  };
  for (const [name, value] of Object.entries(wanted))
    if (value !== undefined) url.searchParams.append(name, value);
  return trial.journey(logout.visitor, url);
}

/** Checks that the browser came back to the return address with this state and nothing else. */
export function checkReturned(
  trial: Trial,
  logout: LogoutCase,
  journey: Journey,
  state: string | undefined,
): void {
  const { landing } = journey;
  trial.require(
    landing.kind === 'arrival',
    'the browser does not come back to post_logout_redirect_uri (RP-Initiated Logout §3)',
  );
  const { url, parameters } = landing;
  const expected = new URL(logout.signedIn.client.postLogoutRedirectUri);
  trial.check(
    url.origin === expected.origin && url.pathname === expected.pathname,
    'the browser is sent elsewhere than to post_logout_redirect_uri (RP-Initiated Logout §3)',
  );
  trial.check(
    (parameters.get('state') ?? undefined) === state,
    state === undefined
      ? 'the browser comes back with a state that nobody sent (RP-Initiated Logout §3)'
      : 'the browser does not come back with the state that was sent (RP-Initiated Logout §3)',
  );
  const unknown = [...parameters.keys()].filter((name) => name !== 'state');
  trial.advise(unknown.length === 0, `the browser comes back with ${unknown.join(', ')} as well`);
}

/** Checks that the provider kept the browser, on a page of its own. */
export function checkStayed(trial: Trial, journey: Journey, why: string): void {
  trial.check(
    journey.landing.kind === 'page',
    `the browser is sent away, though ${why} (RP-Initiated Logout §2, §3)`,
  );
}

/** Checks that the page at the end is no error: the provider did as it was asked. */
export function checkDone(trial: Trial, journey: Journey): void {
  const status = journey.landing.kind === 'page' ? journey.landing.page.answer.status : 0;
  trial.check(status < 400, `logging out ends at a page of status ${status} (RP-Initiated Logout §2)`);
}

/** Checks that nobody is signed in any more: prompt=none is refused. */
export async function checkLoggedOut(trial: Trial, { visitor }: LogoutCase): Promise<void> {
  const request = authorizationRequest(trial, { prompt: 'none' });
  errorFrom(trial, request, await authorize(trial, visitor, request), needsUser);
}
