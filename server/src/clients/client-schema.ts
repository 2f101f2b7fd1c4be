import { z } from 'zod';
import { metadataField, metadataPatchField, nameField, text, timestampField } from '../http/fields.ts';
import { isReservedScope, maxScopeLength, parseScope } from '../scopes/scope.ts';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import { applicationTypes, authMethods, clientTypes, grantTypes } from './client-settings.ts';
import { maxRedirectUriLength } from './redirect-uri.ts';

const maxEntries = 100;
/** Each node holds them in memory for every client in use. */
const maxListLength = 16 * 1024;

/** A list of texts, each in a form of its own. Doubles are dropped. */
function listOf<Entry extends z.ZodType<string>>(entry: Entry) {
  return z
    .array(entry)
    .max(maxEntries)
    .refine(
      (list) => list.join(' ').length <= maxListLength,
      `must have at most ${maxListLength} characters together`,
    )
    .overwrite((list) => [...new Set(list)]);
}

/** RFC 6749 §3.3. */
const scopeToken = z
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
const resourceIndicator = z
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

const typeField = z
  .enum(clientTypes)
  .describe(
    'Users of an `external` client are asked for their consent, those of a `first_party` one are not.',
  );

const openidMembers = {
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
  post_logout_redirect_uris: listOf(uri).describe('By the same rules.'),
  token_endpoint_auth_method: authMethodField.describe(
    '`client_secret_basic` unless given for a confidential client; `none` for a public one.',
  ),
  pkce: z
    .enum(['required', 'optional'])
    .describe('PKCE with S256. `optional` for confidential clients alone.'),
  require_pushed_authorization_requests: z.boolean().describe('RFC 9126.'),
  dpop_bound_access_tokens: z.boolean().describe('RFC 9449.'),
  resource_indicators: listOf(resourceIndicator).describe('What it may name as `resource` (RFC 8707).'),
  backchannel_logout_uri: uri.nullable().describe('https, or http on loopback.'),
  backchannel_logout_session_required: z.boolean(),
  access_token_seconds: accessTokenSeconds.nullable().describe('null: what the issuer’s login settings say.'),
  refresh_token_seconds: refreshTokenSeconds
    .nullable()
    .describe('null: what the issuer’s login settings say.'),
  remember_consent: z.boolean().describe('Whether who has consented once is not asked for the same again.'),
};

const settingsMembers = {
  protocol: z.literal('oidc'),
  scopes: listOf(scopeToken).describe(
    'What it may ask for of OAuth and OpenID Connect. `openid`, `profile` and `email` unless given; none for m2m.',
  ),
  organization_scopes: listOf(organizationScope)
    .nullable()
    .describe('The most its tokens carry of scopes in organizations; null: whatever their users have.'),
};

const settingsField = z.strictObject({
  ...z.object(settingsMembers).partial().shape,
  openid: z.strictObject(openidMembers).partial().optional(),
});

/** Body of `POST …/clients`. */
export const createClientBody = z
  .strictObject({
    name: nameField,
    type: typeField.default('external'),
    confidential: z
      .boolean()
      .optional()
      .describe('Whether it can keep a secret: true unless given for web and m2m, false for native and spa.'),
    settings: settingsField.optional(),
    metadata: metadataField.optional(),
  })
  .meta({
    id: 'CreateClientRequest',
    examples: [
      {
        name: 'Acme Web',
        type: 'first_party',
        confidential: true,
        settings: {
          protocol: 'oidc',
          scopes: ['openid', 'profile', 'email'],
          openid: {
            application_type: 'web',
            grant_types: ['authorization_code', 'refresh_token'],
            redirect_uris: ['https://app.example.com/callback'],
          },
        },
      },
    ],
  });

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const clientMembers = z.strictObject({
  name: nameField,
  type: typeField.default('external'),
  settings: settingsField.optional(),
  metadata: metadataField.default({}),
});

/** Every member of a schema's shape, absent or null. */
function patched<Shape extends z.ZodRawShape>(shape: Shape) {
  const members = Object.entries(shape).map(([name, member]) => [name, (member as z.ZodType).nullish()]);
  return z.strictObject(Object.fromEntries(members) as { [Name in keyof Shape]: z.ZodType });
}

/** Body of `PATCH …/clients/{client_id}`; objects merge, lists are replaced, null sets back to the default. */
export const patchClientBody = z
  .strictObject({
    name: nameField.optional(),
    type: typeField.nullish(),
    confidential: z.boolean().optional().describe('Can’t change: what it is now, or nothing.'),
    settings: patched({ ...settingsMembers, openid: patched(openidMembers) }).nullish(),
    metadata: metadataPatchField.nullish(),
  })
  .meta({
    id: 'PatchClientRequest',
    examples: [{ settings: { openid: { redirect_uris: ['https://app.example.com/callback'] } } }],
  });

/** Body of `POST …/clients/{client_id}/rotate-secret`. */
export const rotateClientSecretBody = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(2_592_000)
      .default(86_400)
      .describe(
        'How long the secret that was the newest still works; 0 ends it at once. A day unless given.',
      ),
  })
  .meta({ id: 'RotateClientSecretRequest', examples: [{ grace_seconds: 604_800 }] });

/** The rules are for who sets things: an answer tells what is stored, whatever build has stored it. */
const texts = z.array(z.string());

const openidResource = z.object({
  ...openidMembers,
  grant_types: z.array(z.enum(grantTypes)),
  redirect_uris: texts,
  post_logout_redirect_uris: texts,
  token_endpoint_auth_method: z.enum(authMethods),
  resource_indicators: texts,
  backchannel_logout_uri: z.string().nullable(),
  access_token_seconds: z.int().nullable(),
  refresh_token_seconds: z.int().nullable(),
});

const settingsResource = z.object({
  protocol: z.literal('oidc'),
  scopes: texts,
  organization_scopes: texts.nullable(),
  openid: openidResource,
});

const clientShape = {
  id: z.string().describe('The `client_id`.'),
  issuer_id: z.string(),
  name: z.string(),
  type: typeField,
  confidential: z.boolean(),
  settings: settingsResource.describe('Whole, every default spelled out.'),
  metadata: z.record(z.string(), z.json()),
  status: z.enum(['active', 'suspended']),
  secrets: z
    .array(
      z.object({
        id: z.string(),
        hint: z.string().describe('How it begins, and its last four characters.'),
        created_at: timestampField,
        expires_at: timestampField.nullable().describe('The end of its grace; null for the newest.'),
      }),
    )
    .describe('Those that work, newest first: two at the most. None for a public client.'),
  created_at: timestampField,
  updated_at: timestampField,
};

export const clientResource = z.object(clientShape).meta({ id: 'Client' });

const secretField = z.string().describe('The secret. It is shown this once.');

export const createdClientResource = z
  .object({ ...clientShape, secret: secretField.nullable().describe('null for a public client.') })
  .meta({ id: 'CreatedClient' });

export const rotatedClientResource = z
  .object({ ...clientShape, secret: secretField })
  .meta({ id: 'RotatedClient' });

export const clientsParams = z.object({ issuer_id: z.string() });
export const clientParams = z.object({ issuer_id: z.string(), client_id: z.string() });
