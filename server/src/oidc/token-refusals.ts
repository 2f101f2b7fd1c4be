import { type Client, type Context, errors, type OIDCProviderError } from 'oidc-provider';
import { clientRefusals } from './client-refusals.ts';
import { deviceCodeGrant } from './grant-types.ts';

/** What a token request of each grant type shows. */
const shown: Readonly<Record<string, string>> = {
  authorization_code: 'the authorization code',
  refresh_token: 'the refresh token',
  [deviceCodeGrant]: 'the device code',
};

/**
 * The `error_description` of an `invalid_grant` (RFC 6749 §5.2). It tells the client what it can mend of its own. What is
 * somebody else's is told as what there is none of, so that nobody finds out whose something is by asking; and so is what
 * went with a session, of which nothing more is known.
 *
 * @param detail the library's own reason, which the log has
 */
export function describeInvalidGrant(grantType: string, detail: string | undefined): string {
  const what = shown[grantType] ?? 'what was shown';
  switch (detail) {
    case 'authorization code is expired':
    case 'refresh token is expired':
      return `${what} has expired`;
    case 'authorization code already consumed':
    case 'device code already consumed':
    case 'refresh token already used':
    case 'already used':
      return `${what} has been used already, so its session has ended`;
    case 'authorization code redirect_uri mismatch':
      return 'redirect_uri is not the one of the authorization request';
    case 'code_verifier must be provided':
      return 'code_verifier is missing';
    case 'code_verifier does not match code_challenge':
      return 'code_verifier does not match the code_challenge of the authorization request';
    case 'unsupported code_challenge_method':
      return 'code_verifier was sent, but the authorization request had no code_challenge';
    case 'grant not found':
    case 'grant is expired':
      return 'what the user has allowed the client does not count any more';
    case 'no member of the organization any more':
      return 'the organization is suspended, or the user no member of it any more';
    case 'DPoP proof JWT not provided':
    case 'missing DPoP proof JWT':
      return 'a DPoP proof is missing';
    case 'DPoP proof JWT Replay detected':
      return 'the DPoP proof has been used already';
    case 'DPoP proof key thumbprint does not match dpop_jkt':
    case 'failed jkt verification':
      return `the DPoP proof is not of the key that ${what} is bound to`;
    default:
      return `${what} is unknown, has expired or been revoked, its session has ended, or another client was given it`;
  }
}

/** The `error_description` of an `unauthorized_client` (RFC 6749 §5.2). */
export function describeMissingGrantType(grantType: string): string {
  return `${grantType}: not among the client's grant types; add it to settings.openid.grant_types of the client`;
}

/** Longer ones are only in the member `scope` of the answer. */
const maxNamedScopes = 200;

/** Tells the client, in the library's error, why its token request is refused; its own words go to the log. */
export function explainRefusal(grantType: string, error: unknown): void {
  if (!(error instanceof errors.OIDCProviderError)) return;
  const { error: code, scope = '', error_detail: detail, error_description: description } = error;
  if (code === 'invalid_grant') error.error_description = describeInvalidGrant(grantType, detail);
  if (code !== 'invalid_scope' || scope === '' || scope.length > maxNamedScopes) return;
  error.error_description = `${scope}: not among the scopes that ${shown[grantType] ?? 'the client'} is for; ask only for those`;
  error.error_detail = description ?? code;
}

/**
 * Puts into an answer that the library has made what the client can mend. Only the body changes: the log and the challenge
 * (`WWW-Authenticate`) have the library's words.
 *
 * @param grantTypes that the issuer has
 */
export function explainAnswer(
  context: Context,
  error: OIDCProviderError,
  grantTypes: ReadonlySet<string>,
): void {
  const { body, oidc } = context;
  // A browser is shown a page.
  if (typeof body !== 'object' || body === null) return;
  const description = describeRefusal(error, oidc.client, grantTypes);
  if (description !== undefined) context.body = { ...body, error_description: description };
}

function describeRefusal(
  { error: code, error_description: description = '', error_detail: detail }: OIDCProviderError,
  client: Client | undefined,
  grantTypes: ReadonlySet<string>,
): string | undefined {
  if (code === 'invalid_client') return describeInvalidClient(detail, client);
  if (code === 'unsupported_grant_type') return `grant_type is none of ${[...grantTypes].join(', ')}`;
  if (description.startsWith('redirect_uri did not match'))
    return `${description}; add it to settings.openid.redirect_uris of the client`;
  return undefined;
}

function describeInvalidClient(detail: string | undefined, client: Client | undefined): string | undefined {
  if (detail === 'client not found') return clientRefusals.unknown;
  if (detail === 'invalid secret provided') return clientRefusals.wrongSecret;
  if (detail?.startsWith('the provided authentication mechanism does not match') && client !== undefined)
    return client.clientAuthMethod === 'none' ? clientRefusals.secretSent : clientRefusals.secretMissing;
  return undefined;
}
