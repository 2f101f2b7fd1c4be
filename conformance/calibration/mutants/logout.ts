import { decodeJwt, decodeProtectedHeader } from 'jose';
import { plans } from '../../suite/plans.ts';
import { all, inAnswerOf, type Mutant, paths, type Spoiled } from '../mutant.ts';
import { editLocation, pageOf, redirectTo, type WireAnswer } from '../wire.ts';
import { everyLogoutProof } from './module-groups.ts';

const logoutModules = plans
  .flatMap(({ modules }) => modules.map(({ name }) => name))
  .filter((name) => name.startsWith('oidcc-rp-initiated-logout'));

const confirmation = `${paths.endSession}/confirm`;

/** Faults of logging out. */
export const logoutMutants: readonly Mutant[] = [
  {
    name: 'logout-unannounced',
    does: 'the metadata has no end_session_endpoint',
    caughtBy: all('fail', [...logoutModules, 'own-logout-ends-tokens', 'own-logout-client-mismatch']),
    ...inAnswerOf(paths.metadata, (answer) => {
      answer.body = answer.body.replace('"end_session_endpoint"', '"end_session"');
    }),
  },
  {
    name: 'logout-to-anywhere',
    does: 'post_logout_redirect_uri may be any',
    caughtBy: all('fail', [
      'oidcc-rp-initiated-logout-bad-post-logout-redirect-uri',
      'oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri',
    ]),
    patch: ({ provider }) => {
      provider.Client.prototype.postLogoutRedirectUriAllowed = () => true;
    },
  },
  {
    name: 'logout-to-prefix',
    does: 'post_logout_redirect_uri may be anything that begins with a registered one',
    caughtBy: { 'oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri': 'fail' },
    patch: ({ provider }) => {
      provider.Client.prototype.postLogoutRedirectUriAllowed = function (uri) {
        return this.postLogoutRedirectUris.some((registered) => uri.startsWith(registered));
      };
    },
  },
  {
    name: 'logout-state-lost',
    does: 'state does not come back from logging out',
    caughtBy: { 'oidcc-rp-initiated-logout': 'fail' },
    ...inAnswerOf(confirmation, (answer) => editLocation(answer, (url) => url.searchParams.delete('state'))),
  },
  {
    name: 'logout-state-invented',
    does: 'a state comes back that nobody sent',
    caughtBy: all('fail', ['oidcc-rp-initiated-logout-no-state', 'own-logout-ends-tokens']),
    ...inAnswerOf(confirmation, (answer) =>
      editLocation(answer, (url) => {
        if (!url.searchParams.has('state') && url.host === 'rp.example')
          url.searchParams.set('state', 'invented');
      }),
    ),
  },
  {
    name: 'logout-session-survives',
    does: 'logging out says yes and ends nothing',
    caughtBy: all('fail', [...everyLogoutProof, 'own-logout-ends-tokens']),
    request: async ({ url }, spoiled) =>
      url.pathname === paths.endSession ? pretend(url, spoiled) : undefined,
  },
  {
    name: 'logout-never-returns',
    does: 'logging out ends at a page of the provider, whatever was asked',
    caughtBy: all('fail', [
      'oidcc-rp-initiated-logout',
      'oidcc-rp-initiated-logout-no-state',
      'own-logout-ends-tokens',
    ]),
    ...inAnswerOf(confirmation, (answer, _request, { issuer }) =>
      editLocation(answer, (url) => {
        if (url.origin !== issuer) url.href = `${issuer}${paths.endSession}/success`;
      }),
    ),
  },
  {
    name: 'logout-hint-unsigned',
    does: 'an unsigned id_token_hint is believed',
    caughtBy: { 'oidcc-rp-initiated-logout-modified-id-token-hint': 'fail' },
    request: ({ url }) => {
      if (algorithmOf(url) === 'none') believeHint(url);
    },
  },
  {
    name: 'logout-hint-unverified',
    does: 'the signature of id_token_hint is not looked at, nor which way round its issuer and audience are',
    caughtBy: all('fail', [
      'oidcc-rp-initiated-logout-modified-id-token-hint',
      'oidcc-rp-initiated-logout-bad-id-token-hint',
      'own-logout-client-mismatch',
    ]),
    request: ({ url }) => {
      if (algorithmOf(url) !== undefined) believeHint(url);
    },
  },
  {
    name: 'logout-without-hint',
    does: 'a post_logout_redirect_uri is followed, though nothing says whose it is',
    caughtBy: { 'oidcc-rp-initiated-logout-no-id-token-hint': 'fail' },
    request: ({ url }) => {
      const { pathname, searchParams } = url;
      if (pathname === paths.endSession && searchParams.has('post_logout_redirect_uri')) {
        if (!searchParams.has('id_token_hint')) searchParams.set('client_id', 'first');
      }
    },
  },
  {
    name: 'logout-needs-hint',
    does: 'logging out without a hint is an error',
    caughtBy: all('fail', ['oidcc-rp-initiated-logout-no-params', 'oidcc-rp-initiated-logout-only-state']),
    request: ({ url }) => {
      const isWithout = url.pathname === paths.endSession && !url.searchParams.has('id_token_hint');
      return isWithout ? pageOf(400, 'id_token_hint is missing') : undefined;
    },
  },
  {
    name: 'logout-client-unchecked',
    does: 'client_id beside an id_token_hint is not looked at',
    caughtBy: { 'own-logout-client-mismatch': 'fail' },
    request: ({ url }) => {
      if (url.pathname === paths.endSession && url.searchParams.has('id_token_hint')) {
        url.searchParams.delete('client_id');
      }
    },
  },
];

/** Answers as if the session had ended, where everything about the request is right; else the provider answers. */
async function pretend(url: URL, { provider, clients }: Spoiled): Promise<WireAnswer | undefined> {
  const { searchParams } = url;
  const hint = searchParams.get('id_token_hint');
  const uri = searchParams.get('post_logout_redirect_uri');
  if (uri === null) return pageOf(200, 'Goodbye');
  const owner = clients.find(({ postLogoutRedirectUri }) => postLogoutRedirectUri === uri);
  if (hint === null || owner === undefined || searchParams.has('client_id')) return undefined;
  try {
    await provider.IdToken.validate(hint, await provider.Client.find(owner.clientId));
  } catch {
    return undefined;
  }
  const back = new URL(uri);
  const state = searchParams.get('state');
  if (state !== null) back.searchParams.set('state', state);
  return redirectTo(back.href);
}

function algorithmOf({ pathname, searchParams }: URL): string | undefined {
  const hint = searchParams.get('id_token_hint');
  return pathname === paths.endSession && hint !== null ? decodeProtectedHeader(hint).alg : undefined;
}

/** Takes whichever client a hint names for proven. */
function believeHint({ searchParams }: URL): void {
  const { iss, aud } = decodeJwt(searchParams.get('id_token_hint')!);
  searchParams.delete('id_token_hint');
  searchParams.set('client_id', [iss, aud].includes('second') ? 'second' : 'first');
}
