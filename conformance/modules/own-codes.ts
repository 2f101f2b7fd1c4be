import { authorizationRequest, authorize, challengeOf, codeFrom } from '../protocol/authorization.ts';
import {
  type Authentication,
  askForTokens,
  basic,
  checkRefusal,
  redeem,
} from '../protocol/token-endpoint.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const pkceVerifier: ConformanceModule = {
  name: 'own-pkce-verifier',
  shows:
    'a code with a challenge is redeemed by its verifier alone, one without a challenge by none (RFC 9700 §2.1.1)',
  run: async (trial: Trial) => {
    const verifier = trial.random();
    const challenge = { code_challenge: challengeOf(verifier), code_challenge_method: 'S256' };
    const cases = [
      { of: 'a wrong code_verifier', challenge, verifier: trial.random() },
      { of: 'a missing code_verifier', challenge, verifier: undefined },
      { of: 'the code_challenge as its own verifier', challenge, verifier: challenge.code_challenge },
      { of: 'a code_verifier for a request without a challenge', challenge: {}, verifier },
    ];
    for (const { of, challenge: parameters, verifier: shown } of cases) {
      const code = await codeOf(trial, parameters);
      const answer = await redeem(trial, trial.config.client, code, { code_verifier: shown });
      checkRefusal(trial, answer, { of, errors: ['invalid_grant', 'invalid_request'] });
    }
  },
};

export const pkcePlain: ConformanceModule = {
  name: 'own-pkce-plain',
  shows: 'challenges that are not hashed are refused, named or by default (RFC 9700 §2.1.1)',
  run: async (trial: Trial) => {
    const verifier = trial.random();
    for (const method of ['plain', undefined]) {
      const parameters = { code_challenge: verifier, code_challenge_method: method };
      const request = authorizationRequest(trial, parameters);
      const { landing } = await authorize(trial, trial.suite.regular(), request);
      const code = landing.kind === 'arrival' ? landing.parameters.get('code') : null;
      trial.check(code === null, `code_challenge_method ${method ?? 'left out'} gets a code`);
    }
  },
};

export const codeBinding: ConformanceModule = {
  name: 'own-code-binding',
  shows: 'a code is of no use to another client, nor with another redirect_uri (RFC 6749 §4.1.3)',
  run: async (trial: Trial) => {
    const { client, secondClient } = trial.config;
    const stolen = await redeem(trial, secondClient, await codeOf(trial), {
      redirect_uri: client.redirectUri,
    });
    checkRefusal(trial, stolen, { of: 'a code of another client', errors: ['invalid_grant'] });
    const elsewhere = { redirect_uri: `${client.redirectUri}/elsewhere` };
    const moved = await redeem(trial, client, await codeOf(trial), elsewhere);
    checkRefusal(trial, moved, { of: 'another redirect_uri', errors: ['invalid_grant', 'invalid_request'] });
  },
};

export const clientAuthentication: ConformanceModule = {
  name: 'own-client-authentication',
  shows: 'a client that does not prove who it is gets nothing for a code (RFC 6749 §3.2.1, §5.2)',
  run: async (trial: Trial) => {
    const { client, secondClient } = trial.config;
    const { clientId, clientSecret } = client;
    const last = clientSecret.endsWith('a') ? 'b' : 'a';
    const attempts: Record<string, Authentication> = {
      'a wrong secret': { header: basic(clientId, trial.random()) },
      'a secret that differs in its last character': {
        header: basic(clientId, clientSecret.slice(0, -1) + last),
      },
      'the secret of another client': { header: basic(clientId, secondClient.clientSecret) },
      'an unknown client': { header: basic(trial.random(12), clientSecret) },
      'a wrong secret in the body': { form: { client_id: clientId, client_secret: trial.random() } },
      'an empty secret': { form: { client_id: clientId, client_secret: '' } },
      'no secret': { form: { client_id: clientId } },
    };
    for (const [of, authentication] of Object.entries(attempts)) {
      const answer = await askForTokens(trial, authentication, {
        grant_type: 'authorization_code',
        code: await codeOf(trial),
        redirect_uri: client.redirectUri,
      });
      const errors = ['invalid_client', ...(authentication.form === undefined ? [] : ['invalid_request'])];
      checkRefusal(trial, answer, {
        of,
        errors,
        statuses: authentication.header === undefined ? [400, 401] : [401],
      });
      const challenge = answer.http.field('www-authenticate');
      trial.check(
        authentication.header === undefined || /^Basic\b/i.test(challenge),
        `${of} by Basic is refused without WWW-Authenticate: Basic (RFC 6749 §5.2)`,
      );
    }
  },
};

async function codeOf(trial: Trial, parameters = {}): Promise<string> {
  const request = authorizationRequest(trial, parameters);
  return codeFrom(trial, request, await authorize(trial, trial.suite.regular(), request));
}
