import { authorizationRequest, authorize } from '../protocol/authorization.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const registeredRedirectUri: ConformanceModule = {
  name: 'oidcc-ensure-registered-redirect-uri',
  shows:
    'a redirect_uri that is not registered is not followed, nor is the registered one: there is an error page',
  run: async (trial: Trial) => {
    const redirectUri = `${trial.config.client.redirectUri}/${trial.random(8)}`;
    const request = authorizationRequest(trial, { redirect_uri: redirectUri });
    const { landing } = await authorize(trial, trial.suite.regular(), request);
    trial.require(
      landing.kind === 'page',
      'the browser was sent away, though redirect_uri is not registered (Core §3.1.2.1, RFC 6749 §3.1.2.4)',
    );
    const { status } = landing.page.answer;
    trial.check(status >= 400 && status < 500, `the error page has status ${status} (RFC 6749 §3.1.2.4)`);
  },
};
