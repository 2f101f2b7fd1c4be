import type { FieldError } from '../errors.ts';
import { type ClientFacts, deviceCodeGrant } from './client-settings.ts';
import { parseRedirectUri } from './redirect-uri.ts';

/** One field that does not go with the others, and what to do about it. */
type Problem = readonly [field: string, message: string];

const openid = 'settings.openid';

/** What is wrong with a client whose members are each well-formed, every one with its field and the fix. */
export function problemsOfClient(client: ClientFacts): FieldError[] {
  const problems = [
    ...problemsOfSize(client),
    ...problemsOfKind(client),
    ...problemsOfGrants(client),
    ...problemsOfUris(client),
    ...problemsOfTokens(client),
  ];
  return problems.map(([path, message]) => ({ path, message, code: 'invalid' }));
}

/** Bytes of all settings as they are stored: pages of clients and the memory of each node are full of them. */
const maxSettingsBytes = 32 * 1024;

function* problemsOfSize({ settings }: ClientFacts): Generator<Problem> {
  const bytes = Buffer.byteLength(JSON.stringify(settings));
  if (bytes > maxSettingsBytes)
    yield ['settings', `have ${bytes} bytes as JSON; shorten the lists, to ${maxSettingsBytes} at the most`];
}

/** Who can keep a secret, and how it shows it. */
function* problemsOfKind({ confidential, settings }: ClientFacts): Generator<Problem> {
  const { application_type: type, token_endpoint_auth_method: method, pkce } = settings.openid;
  if (type === 'spa' && confidential)
    yield ['confidential', 'must be false for application_type spa: a page can’t keep a secret'];
  if (type === 'm2m' && !confidential)
    yield ['confidential', 'must be true for application_type m2m: its secret is all that it signs in with'];
  if (confidential && method === 'none')
    yield [
      `${openid}.token_endpoint_auth_method`,
      'must be client_secret_basic or client_secret_post for a confidential client',
    ];
  if (!confidential && method !== 'none')
    yield [
      `${openid}.token_endpoint_auth_method`,
      'must be none for a public client, which has no secret; or create a client with confidential true',
    ];
  if (pkce === 'optional' && (!confidential || type === 'native'))
    yield [
      `${openid}.pkce`,
      'may be optional only for a confidential client that is not native; make it required',
    ];
}

function* problemsOfGrants({ confidential, settings }: ClientFacts): Generator<Problem> {
  const { application_type: type, grant_types: grants, redirect_uris: uris } = settings.openid;
  const path = `${openid}.grant_types`;
  if (type === 'm2m') {
    if (grants.some((grant) => grant !== 'client_credentials'))
      yield [path, 'must be ["client_credentials"] for application_type m2m: no user signs in with it'];
    return;
  }
  if (grants.includes('client_credentials') && !confidential)
    yield [path, 'client_credentials needs a confidential client; remove it'];
  if (grants.includes('authorization_code') && uris.length === 0)
    yield [`${openid}.redirect_uris`, 'must have at least one entry for the grant authorization_code'];
  const signsIn = grants.includes('authorization_code') || grants.includes(deviceCodeGrant);
  if (grants.includes('refresh_token') && !signsIn)
    yield [path, `refresh_token needs authorization_code or ${deviceCodeGrant}; add one of them`];
}

function* problemsOfUris({ settings }: ClientFacts): Generator<Problem> {
  const { application_type: type, backchannel_logout_uri: logoutUri } = settings.openid;
  for (const member of ['redirect_uris', 'post_logout_redirect_uris'] as const) {
    const uris = settings.openid[member];
    const path = `${openid}.${member}`;
    if (type === 'm2m' && uris.length > 0)
      yield [path, 'must be empty for application_type m2m: no user signs in with it'];
    else for (const [at, uri] of uris.entries()) yield* problemOfUri(`${path}[${at}]`, uri, type);
  }
  if (logoutUri !== null) yield* problemOfUri(`${openid}.backchannel_logout_uri`, logoutUri, 'web');
  else if (settings.openid.backchannel_logout_session_required)
    yield [
      `${openid}.backchannel_logout_session_required`,
      'goes with a backchannel_logout_uri; set one, or make this false',
    ];
}

function* problemOfUri(
  path: string,
  uri: string,
  type: Parameters<typeof parseRedirectUri>[1],
): Generator<Problem> {
  const parsed = parseRedirectUri(uri, type);
  if (!parsed.ok) yield [path, parsed.message];
}

function* problemsOfTokens({ settings }: ClientFacts): Generator<Problem> {
  const { access_token_seconds: access, refresh_token_seconds: refresh } = settings.openid;
  // An access token counts as long as its session does.
  if (access !== null && refresh !== null && refresh < access)
    yield [`${openid}.refresh_token_seconds`, 'must be at least access_token_seconds'];
}
