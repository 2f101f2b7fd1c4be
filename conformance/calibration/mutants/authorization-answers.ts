import { all, inReturn, type Mutant } from '../mutant.ts';
import { everyLogoutProof, everyRedirect } from './module-groups.ts';

/** Faults in where the authorization endpoint sends browsers, and in what it sends them with. */
export const authorizationAnswerMutants: readonly Mutant[] = [
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
    name: 'prompt-none-grants',
    does: 'prompt=none gives a code, whoever is or is not signed in',
    caughtBy: all('fail', [
      ...everyLogoutProof,
      'oidcc-prompt-none-not-logged-in',
      'own-id-token-hint-other-user',
    ]),
    ...inReturn((url) => {
      if (!url.searchParams.get('error')?.endsWith('_required')) return;
      url.searchParams.delete('error');
      url.searchParams.delete('error_description');
      url.searchParams.set('code', 'given-to-anybody');
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
