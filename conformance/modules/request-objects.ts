import { UnsecuredJWT } from 'jose';
import type { Journey } from '../browser/login-driver.ts';
import { type AuthorizationRequest, authorizationRequest } from '../protocol/authorization.ts';
import { finishSignIn } from '../protocol/sign-in.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const unsignedRequestObject: ConformanceModule = {
  name: 'oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported',
  shows: 'an unsigned request object is either obeyed or refused as not supported, never ignored',
  run: async (trial: Trial) => {
    skipUnlessUnsigned(trial);
    const request = authorizationRequest(trial);
    const journey = await askByObject(trial, request, request.client.redirectUri);
    const { landing } = journey;
    const error = landing.kind === 'arrival' ? landing.parameters.get('error') : null;
    if (error === 'request_not_supported') {
      trial.check(
        !trial.metadata.flag('request_parameter_supported', false),
        'request_parameter_supported is true, and a request object is refused (Discovery §3)',
      );
      trial.skip(
        'request_not_supported: the provider takes no request objects, which is permitted (Core §3.1.2.6)',
      );
    }
    await finishSignIn(trial, request, journey);
  },
};

export const requestObjectWithRedirectUri: ConformanceModule = {
  name: 'oidcc-ensure-request-object-with-redirect-uri',
  shows: 'redirect_uri of a request object wins over an unregistered one beside it, or an error page says no',
  run: async (trial: Trial) => {
    skipUnlessUnsigned(trial);
    const request = authorizationRequest(trial);
    const unregistered = `${request.client.redirectUri}/${trial.random(8)}`;
    const journey = await askByObject(trial, request, unregistered);
    if (journey.landing.kind === 'page') {
      const { status } = journey.landing.page.answer;
      trial.check(status >= 400 && status < 500, `the error page has status ${status} (RFC 6749 §3.1.2.4)`);
      return;
    }
    const { parameters } = journey.landing;
    trial.check(
      parameters.get('error') !== 'request_not_supported',
      'the browser was sent to the registered redirect_uri in place of the one that was asked for (Core §3.1.2.1)',
    );
    await finishSignIn(trial, request, journey);
  },
};

function skipUnlessUnsigned(trial: Trial): void {
  const algorithms = trial.metadata.list('request_object_signing_alg_values_supported');
  if (algorithms !== undefined && !algorithms.includes('none')) {
    trial.skip(
      'request_object_signing_alg_values_supported lacks none: unsigned request objects are not taken',
    );
  }
}

/** Sends the whole request as an object (Core §6.1); beside it, only what OAuth requires. */
function askByObject(trial: Trial, request: AuthorizationRequest, redirectUri: string): Promise<Journey> {
  const { client_id, response_type, scope } = request.parameters;
  const object = new UnsecuredJWT({ ...request.parameters })
    .setIssuer(request.client.clientId)
    .setAudience(trial.metadata.issuer)
    .encode();
  const url = trial.metadata.url('authorization_endpoint');
  const beside = { client_id, response_type, scope, redirect_uri: redirectUri, request: object };
  for (const [name, value] of Object.entries(beside)) url.searchParams.append(name, value ?? '');
  return trial.journey(trial.suite.regular(), url);
}
