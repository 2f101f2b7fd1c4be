import { setTimeout as sleep } from 'node:timers/promises';
import type { JWTPayload } from 'jose';
import { askedToSignIn } from '../browser/login-driver.ts';
import {
  authorizationRequest,
  authorize,
  errorFrom,
  needsUser,
  type ParameterChanges,
} from '../protocol/authorization.ts';
import { type SignedIn, signIn } from '../protocol/sign-in.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

/** `auth_time` has whole seconds: a later sign-in has to be more than one of them later. */
const nextSecondMs = 1_100;

export const promptLogin: ConformanceModule = {
  name: 'oidcc-prompt-login',
  shows: 'prompt=login asks who it is again, though somebody is signed in, and auth_time is the new one',
  run: async (trial: Trial) => {
    const first = await signIn(trial);
    await sleep(nextSecondMs);
    const second = await signIn(trial, { parameters: { prompt: 'login' } });
    checkAskedAgain(trial, 'prompt=login', first, second);
  },
};

export const promptNoneNotLoggedIn: ConformanceModule = {
  name: 'oidcc-prompt-none-not-logged-in',
  shows: 'prompt=none in a browser that nobody is signed in with comes back with an error and shows no page',
  run: async (trial: Trial) => {
    // A long state comes back as it was.
    const state = trial.random(96);
    const request = authorizationRequest(trial, { prompt: 'none', state });
    const journey = await authorize(trial, trial.suite.newVisitor(), request);
    trial.check(journey.pages.length === 0, 'prompt=none shows a page (Core §3.1.2.1)');
    errorFrom(trial, request, journey, needsUser);
  },
};

export const promptNoneLoggedIn: ConformanceModule = {
  name: 'oidcc-prompt-none-logged-in',
  shows: 'prompt=none signs in at once whoever is signed in: same user, same auth_time, no page',
  run: (trial: Trial) => checkSameTwice(trial, {}, () => ({ prompt: 'none' })),
};

export const idTokenHint: ConformanceModule = {
  name: 'oidcc-id-token-hint',
  shows: 'prompt=none with the ID token of the user who is signed in as a hint signs in at once',
  run: (trial: Trial) =>
    checkSameTwice(trial, {}, ({ idToken }) => ({ prompt: 'none', id_token_hint: idToken })),
};

export const maxAge10000: ConformanceModule = {
  name: 'oidcc-max-age-10000',
  shows: 'max_age that has not passed asks nobody again; the ID tokens tell the same auth_time',
  run: async (trial: Trial) => {
    await checkSameTwice(
      trial,
      { max_age: '15000' },
      () => ({ max_age: '10000' }),
      (claims) => checkHasAuthTime(trial, claims),
    );
  },
};

export const maxAge1: ConformanceModule = {
  name: 'oidcc-max-age-1',
  shows: 'max_age=1 a while after the sign-in asks again, and the ID token tells when',
  run: async (trial: Trial) => {
    const first = await signIn(trial);
    await sleep(2 * nextSecondMs);
    const second = await signIn(trial, { parameters: { max_age: '1' } });
    checkHasAuthTime(trial, second.claims);
    checkAskedAgain(trial, 'max_age=1', first, second);
  },
};

function checkAskedAgain(trial: Trial, what: string, first: SignedIn, second: SignedIn): void {
  trial.check(
    askedToSignIn(second.journey.pages),
    `${what} does not ask the user to sign in again (Core §3.1.2.1)`,
  );
  const [before, after] = [first.claims.auth_time, second.claims.auth_time];
  if (typeof before === 'number' && typeof after === 'number') {
    trial.check(after > before, `auth_time after ${what} is not later than before (Core §2)`);
  }
}

async function checkSameTwice(
  trial: Trial,
  firstParameters: ParameterChanges,
  secondParameters: (first: SignedIn) => ParameterChanges,
  checkEach: (claims: JWTPayload) => void = () => undefined,
): Promise<void> {
  const first = await signIn(trial, { parameters: firstParameters });
  const second = await signIn(trial, { parameters: secondParameters(first) });
  checkEach(first.claims);
  checkEach(second.claims);
  trial.check(
    !askedToSignIn(second.journey.pages),
    'the user is asked to sign in again without need (Core §3.1.2.3)',
  );
  trial.check(
    second.request.parameters.prompt !== 'none' || second.journey.pages.length === 0,
    'prompt=none shows a page (Core §3.1.2.1)',
  );
  trial.check(first.claims.sub === second.claims.sub, 'sub is another one for the same user (Core §2)');
  const [before, after] = [first.claims.auth_time, second.claims.auth_time];
  trial.check(
    before === undefined || after === undefined || before === after,
    'auth_time changed, though nobody signed in again (Core §2)',
  );
}

function checkHasAuthTime(trial: Trial, claims: JWTPayload): void {
  trial.check(
    claims.auth_time !== undefined,
    'max_age was asked for, and the ID token has no auth_time (Core §2)',
  );
}
