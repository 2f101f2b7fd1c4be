import { all, atAuthorization, type Mutant } from '../mutant.ts';
import { pageOf, redirectTo, type WireAnswer } from '../wire.ts';
import { everyLogoutProof, everyRefresh, unsignedRequestObject } from './module-groups.ts';

const scopeModules = ['profile', 'email', 'address', 'phone', 'all'].map((scope) => `oidcc-scope-${scope}`);

/** Faults in what the authorization endpoint makes of the parameters of a request. */
export const authorizationRequestMutants: readonly Mutant[] = [
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
