import { setTimeout as sleep } from 'node:timers/promises';
import { signIn } from '../protocol/sign-in.ts';
import { checkRefusal, redeem } from '../protocol/token-endpoint.ts';
import { askForUserinfo } from '../protocol/userinfo.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const codeReuse: ConformanceModule = {
  name: 'oidcc-codereuse',
  shows: 'a code redeemed a second time at once is refused (a warning where it is not)',
  run: async (trial: Trial) => {
    const { client, code } = await signIn(trial);
    const answer = await redeem(trial, client, code);
    if (trial.advise(answer.http.status !== 200, 'a code can be used twice (RFC 6749 §4.1.2)')) {
      checkRefusal(trial, answer, { of: 'a code used twice', errors: ['invalid_grant'] });
    }
  },
};

/** The wait is the original's; `code_reuse_seconds` shortens it for providers that look at no clock. */
export const codeReuse30Seconds: ConformanceModule = {
  name: 'oidcc-codereuse-30seconds',
  shows:
    'a code redeemed again later is refused, and the tokens that it gave are dead (a warning where they are not)',
  run: async (trial: Trial) => {
    const { client, code, tokens } = await signIn(trial);
    await sleep(trial.config.codeReuseSeconds * 1_000);
    const again = await redeem(trial, client, code);
    checkRefusal(trial, again, { of: 'a code used again later', errors: ['invalid_grant'] });
    const { status } = await askForUserinfo(trial, tokens.accessToken);
    trial.advise(
      status >= 400 && status < 500,
      'the access token of a code that was used twice still opens UserInfo (RFC 6749 §4.1.2)',
    );
  },
};
