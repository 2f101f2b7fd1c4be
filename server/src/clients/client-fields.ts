import { z } from 'zod';
import { shownNameField, text } from '../http/fields.ts';
import { isReservedScope, maxScopeLength, parseScope } from '../scopes/scope.ts';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import { applicationTypes, authMethods, clientTypes, grantTypes } from './client-settings.ts';
import { maxRedirectUriLength } from './redirect-uri.ts';

const maxEntries = 100;
/** Each node holds them in memory for every client in use. */
const maxListLength = 16 * 1024;
/** A token has all of them in `scope`, beside everything else, and 8 KiB. */
export const maxScopesLength = 3 * 1024;

/** Shown where users are asked for their consent. */
export const clientNameField = shownNameField;

/** A list of texts, each in a form of its own. Doubles are dropped. */
export function listOf<Entry extends z.ZodType<string>>(entry: Entry, maxLength = maxListLength) {
  return z
    .array(entry)
    .max(maxEntries)
    .refine(
      (list) => list.join(' ').length <= maxLength,
      `must have at most ${maxLength} characters together`,
    )
    .overwrite((list) => [...new Set(list)]);
}

/** RFC 6749 §3.3. */
export const scopeToken = z
  .string()
  .max(maxScopeLength)
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be printable ASCII without spaces, quotes and backslashes')
  .refine(
    (scope) => !isReservedScope(scope),
    'must not be a permission of Gatelodge; API keys have those, tokens of clients don’t',
  );

const organizationScope = z.string().superRefine((scope, context) => {
  const parsed = parseScope(scope);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
});

const uri = text(1, maxRedirectUriLength);

/** RFC 8707 §2: an absolute URI without a fragment. Compared as it is written. */
export const resourceIndicator = z
  .string()
  .max(maxRedirectUriLength)
  .regex(
    /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/,
    'must be an absolute URI without a fragment, such as https://api.example.com',
  );

const notYet: Record<string, string> = {
  client_secret_jwt: 'client_secret_jwt can’t be had, since secrets are kept as digests alone',
  private_key_jwt: 'private_key_jwt is not supported yet',
  tls_client_auth: 'tls_client_auth is not supported yet',
  self_signed_tls_client_auth: 'self_signed_tls_client_auth is not supported yet',
};

const authMethodField = z
  .string()
  .meta({ enum: [...authMethods] })
  .transform((method, context) => {
    const known = authMethods.find((name) => name === method);
    if (known !== undefined) return known;
    const reason = Object.hasOwn(notYet, method) ? `${notYet[method]}; ` : '';
    context.addIssue({ code: 'custom', message: `${reason}must be one of ${authMethods.join(', ')}` });
    return z.NEVER;
  });

const accessTokenSeconds = z.int().min(60).max(longestTokenSeconds);
const refreshTokenSeconds = z.int().min(300).max(31_536_000);

export const typeField = z
  .enum(clientTypes)
  .describe(
    'Users of an `external` client are asked for their consent, those of a `first_party` one are not.',
  );

export const openidMembers = {
  application_type: z
    .enum(applicationTypes)
    .describe(
      '`web`: on a server. `native`: on a device. `spa`: in a browser. `m2m`: without users. `web` unless given.',
    ),
  grant_types: z
    .array(z.enum(grantTypes))
    .min(1)
    .max(maxEntries)
    .overwrite((list) => [...new Set(list)])
    .describe('`authorization_code` unless given, `client_credentials` for m2m.'),
  redirect_uris: listOf(uri).describe(
    'https, or http on loopback; for native applications a scheme such as `com.example.app` too. Compared byte for byte.',
  ),
  post_logout_redirect_uris: listOf(uri).describe(
    'Where a browser may be sent back to after a logout. By the same rules.',
  ),
  token_endpoint_auth_method: authMethodField.describe(
    '`client_secret_basic` unless given for a confidential client; `none` for a public one.',
  ),
  pkce: z
    .enum(['required', 'optional'])
    .describe('PKCE with S256. `optional` for confidential clients alone.'),
  require_pushed_authorization_requests: z
    .boolean()
    .describe('Whether it has to push its authorization requests (RFC 9126).'),
  dpop_bound_access_tokens: z
    .boolean()
    .describe('Whether its tokens are always bound to a key of its own (RFC 9449).'),
  resource_indicators: listOf(resourceIndicator).describe('What it may name as `resource` (RFC 8707).'),
  backchannel_logout_uri: uri
    .nullable()
    .describe(
      'Where it is told of sessions that end: https, at no private address that GATELODGE_OUTBOUND_ALLOW does not name.',
    ),
  backchannel_logout_session_required: z
    .boolean()
    .describe('Whether it has to be told which session (`sid`). Takes a `backchannel_logout_uri`.'),
  access_token_seconds: accessTokenSeconds
    .nullable()
    .describe('How long its access tokens live; null: what the issuer’s login settings say.'),
  refresh_token_seconds: refreshTokenSeconds
    .nullable()
    .describe(
      'How long its sessions last without being refreshed; null: what the issuer’s login settings say.',
    ),
  remember_consent: z.boolean().describe('Whether who has consented once is not asked for the same again.'),
};

export const settingsMembers = {
  protocol: z.literal('oidc').describe('There is no other.'),
  scopes: listOf(scopeToken, maxScopesLength).describe(
    'What it may ask for of OAuth and OpenID Connect. `openid`, `profile` and `email` unless given; none for m2m.',
  ),
  organization_scopes: listOf(organizationScope)
    .nullable()
    .describe('The most its tokens carry of scopes in organizations; null: whatever their users have.'),
};

export const settingsField = z.strictObject({
  ...z.object(settingsMembers).partial().shape,
  openid: z.strictObject(openidMembers).partial().optional(),
});
