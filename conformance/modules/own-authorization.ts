import type { Landing } from '../browser/browser.ts';
import { arrivalOf, authorizationRequest, authorize } from '../protocol/authorization.ts';
import { finishSignIn } from '../protocol/sign-in.ts';
import type { ConformanceModule } from '../suite/module.ts';
import type { Trial } from '../suite/trial.ts';

export const redirectUriExact: ConformanceModule = {
  name: 'own-redirect-uri-exact',
  shows:
    'two dozen near misses of a registered redirect_uri are not followed (RFC 9700 §2.1: exact string matching)',
  run: async (trial: Trial) => {
    for (const uri of nearMissesOf(trial.config.client.redirectUri)) {
      const request = authorizationRequest(trial, { redirect_uri: uri });
      const { landing } = await authorize(trial, trial.suite.regular(), request);
      trial.check(landing.kind === 'page', `the browser is sent away for redirect_uri ${uri}`);
    }
  },
};

export const issParameter: ConformanceModule = {
  name: 'own-iss-parameter',
  shows: 'every answer of the authorization endpoint says whose it is, refusals as well (RFC 9207)',
  run: async (trial: Trial) => {
    const { metadata } = trial;
    if (!metadata.flag('authorization_response_iss_parameter_supported', false)) {
      trial.skip('authorization_response_iss_parameter_supported is not true');
    }
    const granted = authorizationRequest(trial);
    const refused = authorizationRequest(trial, { prompt: 'none' });
    const journeys = [
      { of: 'a granting answer', request: granted, visitor: trial.suite.regular() },
      { of: 'a refusing answer', request: refused, visitor: trial.suite.newVisitor() },
    ];
    for (const { of, request, visitor } of journeys) {
      const { parameters } = arrivalOf(trial, request, await authorize(trial, visitor, request));
      const iss = parameters.getAll('iss');
      trial.check(
        iss.length === 1 && iss[0] === metadata.issuer,
        `iss of ${of} is not the issuer (RFC 9207 §2)`,
      );
    }
  },
};

export const formPost: ConformanceModule = {
  name: 'own-response-mode-form-post',
  shows:
    'response_mode=form_post posts the answer and shows none of it in a URL (OAuth 2.0 Form Post Response Mode)',
  run: async (trial: Trial) => {
    const modes = trial.metadata.list('response_modes_supported') ?? ['query', 'fragment'];
    if (!modes.includes('form_post')) trial.skip('response_modes_supported lacks form_post');
    const request = authorizationRequest(trial, { response_mode: 'form_post' });
    const journey = await authorize(trial, trial.suite.regular(), request);
    const arrival = arrivalOf(trial, request, journey);
    trial.check(arrival.method === 'POST', 'the answer is not posted');
    trial.check(arrival.url.search === '' && arrival.url.hash === '', 'the answer stands in the URL as well');
    await finishSignIn(trial, request, journey);
  },
};

export const responseTypes: ConformanceModule = {
  name: 'own-response-types',
  shows: 'response types that the metadata does not name give neither code nor token (RFC 9700 §2.1.2)',
  run: async (trial: Trial) => {
    const supported = (trial.metadata.list('response_types_supported') ?? []).map(sortWords);
    const asked = [
      'token',
      'id_token',
      'code token',
      'code id_token',
      'id_token token',
      'code id_token token',
    ];
    for (const type of [...asked, 'nonsense'].filter((each) => !supported.includes(sortWords(each)))) {
      const request = authorizationRequest(trial, { response_type: type });
      const { landing } = await authorize(trial, trial.suite.regular(), request);
      checkGrantsNothing(trial, landing, `response_type=${type}`);
    }
  },
};

export const repeatedParameters: ConformanceModule = {
  name: 'own-repeated-parameters',
  shows: 'a parameter that comes twice ends the request, whatever the second one says (RFC 6749 §3.1)',
  run: async (trial: Trial) => {
    const others: Record<string, string> = {
      client_id: trial.config.secondClient.clientId,
      redirect_uri: `${trial.config.client.redirectUri}/elsewhere`,
      scope: 'openid email',
      response_type: 'code',
      state: trial.random(),
      nonce: trial.random(),
    };
    for (const [name, value] of Object.entries(others)) {
      const { parameters } = authorizationRequest(trial);
      const url = trial.metadata.url('authorization_endpoint');
      for (const [each, first] of Object.entries(parameters)) url.searchParams.append(each, first);
      url.searchParams.append(name, value);
      const { landing } = await trial.journey(trial.suite.regular(), url);
      checkGrantsNothing(trial, landing, `a second ${name}`);
    }
  },
};

function checkGrantsNothing(trial: Trial, landing: Landing, of: string): void {
  if (landing.kind === 'page') {
    const { status } = landing.page.answer;
    trial.check(status >= 400 && status < 500, `${of} is answered with status ${status}`);
    return;
  }
  for (const token of ['code', 'access_token', 'id_token']) {
    const isThere = landing.parameters.has(token) || landing.fragment.has(token);
    trial.check(!isThere, `${of} gets ${token}`);
  }
}

function sortWords(text: string): string {
  return text.split(' ').sort().join(' ');
}

/** Addresses that a careless comparison takes for the registered one: by prefix, suffix, host or decoded form. */
export function nearMissesOf(registered: string): readonly string[] {
  const url = new URL(registered);
  const { protocol, host, pathname } = url;
  const path = pathname === '/' ? '/callback' : pathname;
  return [
    `${registered}/`,
    `${registered}x`,
    `${registered}/../evil`,
    `${registered}%2f..%2fevil`,
    `${registered};evil`,
    `${registered}?`,
    `${registered}?code=x`,
    `${registered}#`,
    `${registered}#evil`,
    `${registered}%00`,
    `${registered}%20`,
    ` ${registered}`,
    registered.toUpperCase(),
    `${protocol}//${host}${path.slice(0, -1)}`,
    `${protocol}//${host}/.${path}`,
    `${protocol}//${host}/${path}`,
    `${protocol}//${host}`,
    `${protocol}//${host}.evil.example${path}`,
    `${protocol}//evil.${host}${path}`,
    `${protocol}//${host}@evil.example${path}`,
    `${protocol}//evil.example\\@${host}${path}`,
    `${protocol}//evil.example/${registered}`,
    `${protocol}//user@${host}${path}`,
    `//${host}${path}`,
    `${protocol === 'https:' ? 'http:' : 'https:'}//${host}${path}`,
  ];
}
