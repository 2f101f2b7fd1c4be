import { type HttpAnswer, send } from '../browser/http.ts';
import { checkReturned, logOut, signInToLogOut } from '../protocol/logout.ts';
import { signIn } from '../protocol/sign-in.ts';
import { claimsOfScope } from '../protocol/standard-claims.ts';
import { checkRefusal, tokensFrom } from '../protocol/token-endpoint.ts';
import { askForUserinfo, userinfoFrom } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';
import { refresh, signInForRefresh } from './refresh-token.ts';

export const refreshRotation: ConformanceModule = {
  name: 'own-refresh-rotation',
  shows:
    'each refresh gives a new token; the old one used again ends the family, the new one too (RFC 9700 §4.14.2)',
  run: async (trial: Trial) => {
    const { client } = trial.config;
    const { tokens } = await signInForRefresh(trial, client);
    const first = tokens.refreshToken!;
    const rotated = tokensFrom(trial, await refresh(trial, client, first));
    const next = rotated.refreshToken;
    trial.require(
      next !== undefined && next !== first,
      'a refresh gives no new refresh token (RFC 9700 §4.14.2)',
    );
    const errors = ['invalid_grant'];
    checkRefusal(trial, await refresh(trial, client, first), { of: 'a refresh token used twice', errors });
    checkRefusal(trial, await refresh(trial, client, next), {
      of: 'the family of a refresh token used twice',
      errors,
    });
    const { status } = await askForUserinfo(trial, rotated.accessToken);
    trial.check(
      status >= 400 && status < 500,
      'the access token of a family that was ended still opens UserInfo',
    );
  },
};

export const refreshScope: ConformanceModule = {
  name: 'own-refresh-scope',
  shows: 'a refresh never gives a scope that the user did not grant (RFC 6749 §6)',
  run: async (trial: Trial) => {
    const { client } = trial.config;
    const { tokens } = await signInForRefresh(trial, client);
    const wider = await refresh(trial, client, tokens.refreshToken!, { scope: 'openid email profile' });
    checkRefusal(trial, wider, { of: 'a wider scope', errors: ['invalid_scope'] });
  },
};

export const scopeMinimal: ConformanceModule = {
  name: 'own-scope-minimal',
  shows: 'scope openid alone tells nothing of the user but sub (Core §5.4)',
  run: async (trial: Trial) => {
    const { tokens, claims } = await signIn(trial);
    const userinfo = userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
    const personal: readonly string[] = Object.values(claimsOfScope).flat();
    const told = [...Object.keys(userinfo), ...Object.keys(claims)].filter((name) => personal.includes(name));
    trial.check(told.length === 0, `scope openid alone tells ${[...new Set(told)].join(', ')}`);
  },
};

export const userinfoRefusals: ConformanceModule = {
  name: 'own-userinfo-refusals',
  shows:
    'UserInfo opens for access tokens alone, and says so with 401 and WWW-Authenticate: Bearer (RFC 6750 §3)',
  run: async (trial: Trial) => {
    const { tokens, idToken, code } = await signIn(trial);
    const last = tokens.accessToken.at(-1) === 'a' ? 'b' : 'a';
    const altered = tokens.accessToken.slice(0, 10) + last + tokens.accessToken.slice(11);
    checkUnauthorized(trial, await askForUserinfo(trial, undefined), 'no token', undefined);
    const others = {
      'made-up text': trial.random(),
      'an ID token': idToken,
      'a code': code,
      'an altered token': altered,
    };
    for (const [of, token] of Object.entries(others)) {
      if (token === tokens.accessToken) continue;
      checkUnauthorized(trial, await askForUserinfo(trial, token), of, 'invalid_token');
    }
    const url = trial.metadata.url('userinfo_endpoint');
    const headers = { authorization: `Basic ${Buffer.from(`:${tokens.accessToken}`).toString('base64')}` };
    const { status } = await send({ url, headers });
    trial.check(status === 400 || status === 401, `Basic is answered with status ${status} (RFC 6750 §3)`);
  },
};

export const logoutEndsTokens: ConformanceModule = {
  name: 'own-logout-ends-tokens',
  shows: 'the access token of a sign-in that was logged out opens UserInfo no more',
  run: async (trial: Trial) => {
    const ending = await signInToLogOut(trial);
    const { accessToken } = ending.signedIn.tokens;
    const before = await askForUserinfo(trial, accessToken);
    trial.require(before.status === 200, `UserInfo answers ${before.status} before logging out`);
    checkReturned(trial, ending, await logOut(trial, ending, { state: undefined }), undefined);
    checkUnauthorized(
      trial,
      await askForUserinfo(trial, accessToken),
      'a token after logging out',
      'invalid_token',
    );
  },
};

function checkUnauthorized(trial: Trial, answer: HttpAnswer, of: string, error: string | undefined): void {
  // RFC 6750 §3.1: a request without any token is told nothing more than that; some say 400.
  const statuses = error === undefined ? [400, 401] : [401];
  trial.check(
    statuses.includes(answer.status),
    `${of} is answered with status ${answer.status} (RFC 6750 §3.1)`,
  );
  const challenge = answer.field('www-authenticate');
  trial.check(
    answer.status !== 401 || /^(Bearer|DPoP)\b/i.test(challenge),
    `${of} is refused without WWW-Authenticate: Bearer (RFC 6750 §3)`,
  );
  trial.check(
    error === undefined || challenge.includes(`error="${error}"`),
    `${of} is refused without error="${error}" in WWW-Authenticate (RFC 6750 §3.1)`,
  );
}
