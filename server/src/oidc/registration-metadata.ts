import { z } from 'zod';
import { requireCallable, resolveClient } from '../clients/client.ts';
import { clientNameField, settingsField } from '../clients/client-fields.ts';
import type { ClientFacts, GrantType } from '../clients/client-settings.ts';
import { AppError } from '../errors.ts';
import { text } from '../http/fields.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import { grantTypesOf } from './grant-types.ts';
import { OAuthError } from './oauth-answer.ts';
import type { OidcSettings } from './oidc-settings.ts';
import { oidcScopes } from './scopes.ts';

const uris = z.array(z.string()).max(50);

/** Client metadata (RFC 7591 §2) as far as they are taken; the rest is passed over, as §3.1 wants it. */
const metadata = z.object({
  client_name: clientNameField.optional(),
  redirect_uris: uris.optional(),
  post_logout_redirect_uris: uris.optional(),
  grant_types: z.array(z.string()).max(10).optional(),
  response_types: z.array(z.string()).max(10).optional(),
  application_type: z.enum(['web', 'native']).optional(),
  token_endpoint_auth_method: z.enum(['client_secret_basic', 'client_secret_post', 'none']).optional(),
  scope: text(0, 4_000).optional(),
  backchannel_logout_uri: z.string().optional(),
  backchannel_logout_session_required: z.boolean().optional(),
  require_pushed_authorization_requests: z.boolean().optional(),
  dpop_bound_access_tokens: z.boolean().optional(),
});

type Metadata = z.output<typeof metadata>;

/** What a client that registers itself asks to be. It may sign users in, and no more. */
export interface RegisteredClient {
  name: string;
  facts: ClientFacts;
}

/** @throws OAuthError: invalid_redirect_uri, invalid_client_metadata (RFC 7591 §3.2.2) */
export function readRegistration(
  body: unknown,
  settings: OidcSettings,
  outbound: Pick<OutboundClient, 'checkUrl'>,
): RegisteredClient {
  const parsed = metadata.safeParse(body);
  if (!parsed.success) {
    const { path = [], message = '' } = parsed.error.issues[0] ?? {};
    throw invalidMetadata(`${path.join('.')}: ${message}`);
  }
  const asked = parsed.data;
  if (asked.response_types?.some((type) => type !== 'code'))
    throw invalidMetadata('response_types: only code');
  const known = grantTypesOf(settings);
  const grants = asked.grant_types ?? ['authorization_code'];
  const unknown = grants.find((grant) => !known.has(grant) || grant === 'client_credentials');
  if (unknown !== undefined) throw invalidMetadata(`grant_types: ${unknown} is not to be had`);
  if (asked.dpop_bound_access_tokens === true && !settings.dpop)
    throw invalidMetadata('dpop_bound_access_tokens: is not to be had');
  const facts = factsOf(asked, grants as GrantType[], outbound);
  requireGivenScopes(facts.settings.scopes, settings);
  return { name: asked.client_name ?? 'Registered client', facts };
}

/** An API may take any scope of a token for a permission: which there are, the issuer says and not who registers. */
function requireGivenScopes(scopes: readonly string[], { registration_scopes: given }: OidcSettings): void {
  const refused = scopes.find((scope) => !oidcScopes.has(scope) && !given.includes(scope));
  if (refused !== undefined)
    throw invalidMetadata(
      `scope: ${refused} is not in registration_scopes of the issuer's OIDC settings, nor a standard scope`,
    );
}

function factsOf(
  asked: Metadata,
  grants: GrantType[],
  outbound: Pick<OutboundClient, 'checkUrl'>,
): ClientFacts {
  const confidential = asked.token_endpoint_auth_method !== 'none';
  const { client_name: _name, scope, grant_types: _grants, response_types: _responses, ...openid } = asked;
  const settings = settingsField.safeParse({
    // Nobody has said which permissions of their organizations users would let it have.
    organization_scopes: [],
    ...(scope !== undefined && { scopes: scope.split(' ').filter(Boolean) }),
    openid: { ...openid, application_type: kindOf(asked), grant_types: grants },
  });
  if (!settings.success) {
    const { path, message } = settings.error.issues[0]!;
    throw refused(path.join('.'), message);
  }
  try {
    const facts = resolveClient({ confidential, settings: settings.data });
    requireCallable(facts, outbound);
    return facts;
  } catch (error) {
    throw fromFieldErrors(error);
  }
}

/** Who has no secret and is sent back to its own machine runs there; who has none otherwise is a page. */
function kindOf({
  application_type: type,
  token_endpoint_auth_method: method,
  redirect_uris: redirects,
}: Metadata) {
  if (type === 'native') return 'native';
  if (method !== 'none') return 'web';
  const isAtHome = (redirects ?? []).every((uri) => !uri.startsWith('https:'));
  return type === undefined && isAtHome ? 'native' : 'spa';
}

function fromFieldErrors(error: unknown): unknown {
  const [first] = error instanceof AppError ? (error.errors ?? []) : [];
  if (first === undefined) return error;
  return refused(first.path, first.message);
}

/** For the log, in which nothing stands that a caller has made up. */
const saidInTheAnswer = 'the answer says which member';

function refused(path: string, message: string): OAuthError {
  const field = path.replace(/^(?:settings\.)?(?:openid\.)?/, '').replace(/^scopes\b/, 'scope');
  const description = `${field}: ${message}`;
  return field.startsWith('redirect_uris')
    ? new OAuthError(400, 'invalid_redirect_uri', description, {}, saidInTheAnswer)
    : invalidMetadata(description);
}

function invalidMetadata(description: string): OAuthError {
  return new OAuthError(400, 'invalid_client_metadata', description, {}, saidInTheAnswer);
}
