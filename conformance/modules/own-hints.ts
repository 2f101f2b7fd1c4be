import { generateKeyPair, SignJWT } from 'jose';
import { authorizationRequest, authorize, errorFrom, needsUser } from '../protocol/authorization.ts';
import { checkStayed, logOut, signInToLogOut } from '../protocol/logout.ts';
import { signIn } from '../protocol/sign-in.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';
import { withoutSignature } from './logout.ts';

export const hintOfOtherUser: ConformanceModule = {
  name: 'own-id-token-hint-other-user',
  shows:
    'prompt=none with the ID token of somebody else is refused, not answered for who is signed in (Core §3.1.2.1)',
  run: async (trial: Trial) => {
    const mine = await signIn(trial);
    const other = await signIn(trial, { visitor: trial.suite.newVisitor() });
    trial.require(
      mine.claims.sub !== other.claims.sub,
      'two addresses sign in as one user: address needs {n}',
    );
    const request = authorizationRequest(trial, { prompt: 'none', id_token_hint: other.idToken });
    errorFrom(trial, request, await authorize(trial, trial.suite.regular(), request), needsUser);
  },
};

export const forgedHint: ConformanceModule = {
  name: 'own-id-token-hint-forged',
  shows: 'an ID token that the provider did not sign is no hint: no code is given for it',
  run: async (trial: Trial) => {
    const { idToken, claims, client } = await signIn(trial);
    const { privateKey } = await generateKeyPair('ES256');
    const foreign = await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'ES256' })
      .setAudience(client.clientId)
      .sign(privateKey);
    const forged = {
      'an unsigned hint': withoutSignature(idToken),
      'a hint signed by somebody else': foreign,
    };
    for (const [of, hint] of Object.entries(forged)) {
      const request = authorizationRequest(trial, { prompt: 'none', id_token_hint: hint });
      const { landing } = await authorize(trial, trial.suite.regular(), request);
      const code = landing.kind === 'arrival' ? landing.parameters.get('code') : null;
      trial.check(code === null, `${of} gets a code`);
    }
  },
};

export const logoutClientMismatch: ConformanceModule = {
  name: 'own-logout-client-mismatch',
  shows: 'logging out with the hint of one client and the client_id of another sends nobody away',
  run: async (trial: Trial) => {
    const ending = await signInToLogOut(trial);
    const journey = await logOut(trial, ending, { client_id: trial.config.secondClient.clientId });
    checkStayed(trial, journey, 'client_id is not the audience of id_token_hint');
  },
};
