import { signIn } from '../protocol/sign-in.ts';
import { askForUserinfo, userinfoFrom } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const userinfoGet: ConformanceModule = {
  name: 'oidcc-userinfo-get',
  shows:
    'UserInfo answers GET with a Bearer token: JSON about the user of the ID token, claims of the right types',
  run: async (trial: Trial) => {
    const { tokens, claims } = await signIn(trial);
    userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken), claims.sub);
  },
};

export const userinfoPostHeader: ConformanceModule = {
  name: 'oidcc-userinfo-post-header',
  shows: 'UserInfo answers POST with the token in the header alike',
  run: async (trial: Trial) => {
    const { tokens, claims } = await signIn(trial);
    userinfoFrom(trial, await askForUserinfo(trial, tokens.accessToken, 'post-header'), claims.sub);
  },
};

export const userinfoPostBody: ConformanceModule = {
  name: 'oidcc-userinfo-post-body',
  shows:
    'UserInfo takes the token from a form body, or refuses that way (warning: RFC 6750 §2.2 makes it optional)',
  run: async (trial: Trial) => {
    const { tokens, claims } = await signIn(trial);
    const answer = await askForUserinfo(trial, tokens.accessToken, 'post-body');
    const isSupported = answer.status >= 200 && answer.status < 300;
    if (trial.advise(isSupported, `a token in the body is answered with ${answer.status} (RFC 6750 §2.2)`)) {
      userinfoFrom(trial, answer, claims.sub);
    }
  },
};
