import { all, atAuthorization, inReturn, type Mutant } from '../mutant.ts';
import { pageOf, redirectTo, type WireAnswer } from '../wire.ts';
import { everyLogoutProof, everyRedirect, everyRefresh, unsignedRequestObject } from './module-groups.ts';

const scopeModules = ['profile', 'email', 'address', 'phone', 'all'].map((scope) => `oidcc-scope-${scope}`);

/** Faults of the authorization endpoint. */
export const authorizationMutants: readonly Mutant[] = [
  {
    name: 'state-lost',
    does: 'state does not come back',
    caughtBy: all('fail', everyRedirect),
    ...inReturn((url) => url.searchParams.delete('state')),
  },
  {
    name: 'state-cut',
    does: 'a long state comes back shortened',
    caughtBy: { 'oidcc-prompt-none-not-logged-in': 'fail' },
    ...inReturn((url) => {
      const state = url.searchParams.get('state');
      if (state !== null) url.searchParams.set('state', state.slice(0, 64));
    }),
  },
  {
    name: 'iss-wrong',
    does: 'iss of the answer is another issuer',
    caughtBy: all('fail', [...everyRedirect, 'own-iss-parameter']),
    ...inReturn((url) => url.searchParams.set('iss', 'https://other.example')),
  },
  {
    name: 'iss-missing',
    does: 'the metadata promises iss in answers, and there is none',
    caughtBy: { 'own-iss-parameter': 'fail' },
    ...inReturn((url) => url.searchParams.delete('iss')),
  },
  {
    name: 'iss-missing-in-refusals',
    does: 'refusals do not say whose they are',
    caughtBy: { 'own-iss-parameter': 'fail' },
    ...inReturn((url) => {
      if (url.searchParams.has('error')) url.searchParams.delete('iss');
    }),
  },
  {
    name: 'code-in-refusal',
    does: 'prompt=none is refused, and a code is given all the same',
    caughtBy: all('fail', [
      ...everyLogoutProof,
      'oidcc-prompt-none-not-logged-in',
      'own-id-token-hint-other-user',
    ]),
    ...inReturn((url) => {
      if (url.searchParams.get('error')?.endsWith('_required'))
        url.searchParams.set('code', 'given-all-the-same');
    }),
  },
  {
    name: 'redirect-uri-prefix',
    does: 'redirect_uri may be anything that begins with a registered one',
    caughtBy: all('fail', [
      'oidcc-ensure-registered-redirect-uri',
      'oidcc-ensure-request-object-with-redirect-uri',
      'own-redirect-uri-exact',
    ]),
    patch: ({ provider }) => {
      provider.Client.prototype.redirectUriAllowed = function (uri) {
        return this.redirectUris.some((registered) => uri.startsWith(registered));
      };
    },
  },
  {
    name: 'redirect-uri-normalized',
    does: 'redirect_uri is compared after it was normalized, without its query',
    caughtBy: { 'own-redirect-uri-exact': 'fail' },
    patch: ({ provider }) => {
      provider.Client.prototype.redirectUriAllowed = function (uri) {
        const url = URL.parse(uri);
        return this.redirectUris.includes(`${url?.origin}${url?.pathname}`);
      };
    },
  },
  {
    name: 'prompt-none-shows-page',
    does: 'prompt=none is ignored: whoever is not signed in is shown a page',
    caughtBy: all('fail', [
      ...everyLogoutProof,
      'oidcc-prompt-none-not-logged-in',
      'own-id-token-hint-other-user',
    ]),
    ...atAuthorization((parameters) => {
      if (parameters.get('prompt') === 'none') parameters.delete('prompt');
    }),
  },
  {
    name: 'prompt-login-ignored',
    does: 'prompt=login asks nobody who is signed in',
    caughtBy: { 'oidcc-prompt-login': 'fail' },
    ...atAuthorization((parameters) => {
      if (parameters.get('prompt') === 'login') parameters.delete('prompt');
    }),
  },
  {
    name: 'max-age-ignored',
    does: 'max_age is ignored whole',
    caughtBy: all('fail', ['oidcc-max-age-1', 'oidcc-max-age-10000']),
    ...atAuthorization((parameters) => {
      parameters.delete('max_age');
    }),
  },
  {
    name: 'max-age-not-enforced',
    does: 'max_age makes auth_time appear, but asks nobody again',
    caughtBy: { 'oidcc-max-age-1': 'fail' },
    ...atAuthorization((parameters) => {
      if (parameters.has('max_age')) parameters.set('max_age', '100000');
    }),
  },
  {
    name: 'session-forgotten',
    does: 'nobody stays signed in: each request asks again',
    caughtBy: all('fail', ['oidcc-max-age-10000', 'oidcc-prompt-none-logged-in', 'oidcc-id-token-hint']),
    ...atAuthorization((parameters, _request, { issuer }) => {
      if (parameters.get('prompt') === 'none') return refusal(parameters, 'login_required', issuer);
      if (!parameters.has('prompt')) parameters.set('prompt', 'login');
      return undefined;
    }),
  },
  {
    name: 'prompt-none-error',
    does: 'prompt=none without a session is refused as access_denied',
    caughtBy: all('fail', [
      ...everyLogoutProof,
      'oidcc-prompt-none-not-logged-in',
      'own-id-token-hint-other-user',
    ]),
    ...inReturn((url) => {
      if (url.searchParams.get('error')?.endsWith('_required'))
        url.searchParams.set('error', 'access_denied');
    }),
  },
  {
    name: 'id-token-hint-ignored',
    does: 'id_token_hint is ignored: whoever is signed in is answered for',
    caughtBy: all('fail', ['own-id-token-hint-other-user', 'own-id-token-hint-forged']),
    ...atAuthorization((parameters) => {
      parameters.delete('id_token_hint');
    }),
  },
  {
    name: 'claims-ignored',
    does: 'the claims parameter is ignored',
    caughtBy: { 'oidcc-claims-essential': 'warning' },
    ...atAuthorization((parameters) => {
      parameters.delete('claims');
    }),
  },
  {
    name: 'acr-values-ignored',
    does: 'acr_values are ignored',
    caughtBy: { 'oidcc-ensure-request-with-acr-values-succeeds': 'warning' },
    ...atAuthorization((parameters) => {
      parameters.delete('acr_values');
    }),
  },
  {
    name: 'scope-ignored',
    does: 'only openid and offline_access of the scopes that are asked for are granted',
    caughtBy: all('warning', [...scopeModules, 'oidcc-alternate-happy-flow']),
    ...changingScope((scopes) => scopes.filter((scope) => scope === 'openid' || scope === 'offline_access')),
  },
  {
    name: 'scope-widened',
    does: 'every scope is granted, whatever was asked for',
    caughtBy: all('fail', ['own-scope-minimal', 'own-refresh-scope']),
    ...changingScope((scopes) => [...new Set([...scopes, 'profile', 'email'])]),
  },
  {
    name: 'offline-access-ignored',
    does: 'the metadata names refresh tokens, and none is given',
    caughtBy: all('fail', everyRefresh),
    ...changingScope((scopes) => scopes.filter((scope) => scope !== 'offline_access')),
  },
  refusing('unknown-parameter-refused', 'extra', ['oidcc-ensure-request-with-unknown-parameter-succeeds']),
  refusing('display-refused', 'display', ['oidcc-display-page', 'oidcc-display-popup']),
  refusing('ui-locales-refused', 'ui_locales', ['oidcc-ui-locales']),
  refusing('claims-locales-refused', 'claims_locales', ['oidcc-claims-locales']),
  refusing('login-hint-refused', 'login_hint', ['oidcc-login-hint']),
  refusing('acr-values-refused', 'acr_values', ['oidcc-ensure-request-with-acr-values-succeeds']),
  {
    name: 'nonce-required',
    does: 'a request without a nonce is refused',
    caughtBy: { 'oidcc-ensure-request-without-nonce-succeeds-for-code-flow': 'fail' },
    ...atAuthorization((parameters) =>
      parameters.has('nonce') || parameters.has('request')
        ? undefined
        : refusal(parameters, 'invalid_request'),
    ),
  },
  {
    name: 'response-type-assumed',
    does: 'a request without response_type is taken for one for a code',
    caughtBy: { 'oidcc-response-type-missing': 'fail' },
    ...atAuthorization((parameters) => {
      if (!parameters.has('response_type') && !parameters.has('request'))
        parameters.set('response_type', 'code');
    }),
  },
  {
    name: 'post-refused',
    does: 'the authorization endpoint takes GET alone',
    caughtBy: { 'oidcc-ensure-post-request-succeeds': 'fail' },
    ...atAuthorization((_parameters, { method }) =>
      method === 'POST' ? pageOf(405, 'GET alone') : undefined,
    ),
  },
  {
    name: 'order-matters',
    does: 'client_id has to come first',
    caughtBy: { 'oidcc-alternate-happy-flow': 'fail' },
    ...atAuthorization((parameters) =>
      [...parameters.keys()][0] === 'client_id' ? undefined : pageOf(400, 'client_id comes first'),
    ),
  },
  {
    name: 'response-mode-ignored',
    does: 'response_mode=form_post is answered in the query',
    caughtBy: { 'own-response-mode-form-post': 'fail' },
    ...atAuthorization((parameters) => {
      parameters.delete('response_mode');
    }),
  },
  {
    name: 'repeated-parameters-taken',
    does: 'of parameters that come twice the first is taken',
    caughtBy: { 'own-repeated-parameters': 'fail' },
    ...atAuthorization((parameters) => {
      for (const name of new Set(parameters.keys())) parameters.set(name, parameters.get(name)!);
    }),
  },
  {
    name: 'request-object-ignored',
    does: 'a request object is neither obeyed nor refused',
    caughtBy: { [unsignedRequestObject]: 'fail' },
    ...atAuthorization((parameters) => {
      parameters.delete('request');
    }),
  },
  {
    name: 'implicit-unannounced',
    does: 'response types with tokens in the URL work, though the metadata names none of them',
    caughtBy: { 'own-response-types': 'fail' },
    configure: (configuration) => {
      configuration.responseTypes = ['code', 'id_token', 'code id_token'];
      for (const client of configuration.clients as Record<string, unknown>[]) {
        client.response_types = ['code', 'id_token', 'code id_token'];
        client.grant_types = ['authorization_code', 'refresh_token', 'implicit'];
      }
    },
    answer: (answer, { url }) => {
      if (!url.pathname.endsWith('openid-configuration')) return;
      answer.body = answer.body.replace(
        /"response_types_supported":\[[^\]]*\]/,
        '"response_types_supported":["code"]',
      );
    },
  },
];

function changingScope(change: (scopes: readonly string[]) => readonly string[]) {
  return atAuthorization((parameters) => {
    const [scope, ...repeated] = parameters.getAll('scope');
    if (scope !== undefined && repeated.length === 0)
      parameters.set('scope', change(scope.split(' ')).join(' '));
  });
}

function refusing(name: string, parameter: string, modules: readonly string[]): Mutant {
  return {
    name,
    does: `a request with ${parameter} is refused`,
    caughtBy: all('fail', modules),
    ...atAuthorization((parameters) =>
      parameters.has(parameter) ? refusal(parameters, 'invalid_request') : undefined,
    ),
  };
}

function refusal(parameters: URLSearchParams, error: string, iss?: string): WireAnswer {
  const back = new URL(parameters.get('redirect_uri')!);
  back.searchParams.set('error', error);
  back.searchParams.set('state', parameters.get('state') ?? '');
  if (iss !== undefined) back.searchParams.set('iss', iss);
  return redirectTo(back.href);
}
