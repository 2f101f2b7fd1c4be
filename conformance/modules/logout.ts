import { generateKeyPair, SignJWT } from 'jose';
import type { ParameterChanges } from '../protocol/authorization.ts';
import {
  checkDone,
  checkLoggedOut,
  checkReturned,
  checkStayed,
  type LogoutCase,
  logOut,
  signInToLogOut,
} from '../protocol/logout.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';
import { isSecure } from './discovery.ts';

export const logoutDiscovery: ConformanceModule = {
  name: 'oidcc-rp-initiated-logout-discovery-endpoint-verification',
  shows: 'the metadata has an https end_session_endpoint',
  run: async (trial: Trial) => {
    const url = trial.metadata.url('end_session_endpoint');
    trial.check(
      isSecure(url, URL.parse(trial.config.issuer)),
      'end_session_endpoint is no https URL (RP-Initiated Logout §2.1)',
    );
  },
};

export const logout: ConformanceModule = {
  name: 'oidcc-rp-initiated-logout',
  shows:
    'logging out comes back to the registered address with the state unchanged, and nobody is signed in then',
  run: async (trial: Trial) => {
    const ending = await signInToLogOut(trial);
    const state = trial.random(96);
    checkReturned(trial, ending, await logOut(trial, ending, { state }), state);
    await checkLoggedOut(trial, ending);
  },
};

export const logoutNoState: ConformanceModule = {
  name: 'oidcc-rp-initiated-logout-no-state',
  shows: 'the same without a state, which then does not come back either',
  run: async (trial: Trial) => {
    const ending = await signInToLogOut(trial);
    checkReturned(trial, ending, await logOut(trial, ending, { state: undefined }), undefined);
    await checkLoggedOut(trial, ending);
  },
};

export const badRedirectUri = stayingModule(
  'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri',
  'post_logout_redirect_uri is not registered',
  async (trial, { signedIn }) => ({
    post_logout_redirect_uri: new URL(`/${trial.random(8)}`, signedIn.client.postLogoutRedirectUri).href,
  }),
);

export const queryAddedToRedirectUri = stayingModule(
  'oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri',
  'a query was added to post_logout_redirect_uri',
  async (_trial, { signedIn }) => {
    const url = new URL(signedIn.client.postLogoutRedirectUri);
    url.searchParams.append('foo', 'bar');
    return { post_logout_redirect_uri: url.href };
  },
);

export const modifiedIdTokenHint = stayingModule(
  'oidcc-rp-initiated-logout-modified-id-token-hint',
  'id_token_hint was made into an unsigned one',
  async (_trial, { signedIn }) => ({ id_token_hint: withoutSignature(signedIn.idToken) }),
);

export const badIdTokenHint = stayingModule(
  'oidcc-rp-initiated-logout-bad-id-token-hint',
  'id_token_hint is signed by somebody else',
  async (trial, { signedIn }) => ({ id_token_hint: await foreignIdToken(trial, signedIn.client.clientId) }),
);

export const noIdTokenHint = stayingModule(
  'oidcc-rp-initiated-logout-no-id-token-hint',
  'nothing says whose post_logout_redirect_uri it is',
  async () => ({ id_token_hint: undefined }),
);

export const noParameters = endingModule('oidcc-rp-initiated-logout-no-params', {
  id_token_hint: undefined,
  post_logout_redirect_uri: undefined,
  state: undefined,
});

export const noRedirectUri = endingModule('oidcc-rp-initiated-logout-no-post-logout-redirect-uri', {
  post_logout_redirect_uri: undefined,
});

export const onlyState = endingModule('oidcc-rp-initiated-logout-only-state', {
  id_token_hint: undefined,
  post_logout_redirect_uri: undefined,
});

function stayingModule(
  name: string,
  why: string,
  changesFor: (trial: Trial, ending: LogoutCase) => Promise<ParameterChanges>,
): ConformanceModule {
  return {
    name,
    shows: `the browser is not sent away when ${why}`,
    run: async (trial: Trial) => {
      const ending = await signInToLogOut(trial);
      checkStayed(trial, await logOut(trial, ending, await changesFor(trial, ending)), why);
    },
  };
}

/** The original asks a person to look whether the page says so; here the next prompt=none tells. */
function endingModule(name: string, changes: ParameterChanges): ConformanceModule {
  const missing = Object.keys(changes).join(' and ');
  return {
    name,
    shows: `logging out without ${missing} ends at a page of the provider, and nobody is signed in then`,
    run: async (trial: Trial) => {
      const ending = await signInToLogOut(trial);
      const journey = await logOut(trial, ending, changes);
      checkStayed(trial, journey, 'there is no post_logout_redirect_uri');
      checkDone(trial, journey);
      await checkLoggedOut(trial, ending);
    },
  };
}

/** The same claims under `alg: none` (RFC 8725 §2.1). */
export function withoutSignature(idToken: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  return `${header}.${idToken.split('.')[1] ?? ''}.`;
}

/** An ID token as the client might make one: with the client as issuer and a key of its own. */
async function foreignIdToken(trial: Trial, clientId: string): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256');
  return new SignJWT({ nonce: trial.random(8) })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(clientId)
    .setAudience(trial.metadata.issuer)
    .setSubject('somebody')
    .setIssuedAt()
    .setExpirationTime('5 minutes')
    .sign(privateKey);
}
