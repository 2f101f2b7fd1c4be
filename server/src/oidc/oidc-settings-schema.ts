import { z } from 'zod';
import { listOf, maxScopesLength, resourceIndicator, scopeToken } from '../clients/client-fields.ts';

const members = {
  device_flow: z
    .boolean()
    .default(false)
    .describe('Whether devices without a browser may sign users in (RFC 8628).'),
  dpop: z
    .boolean()
    .default(false)
    .describe('Whether clients may bind their tokens to a key of their own (RFC 9449).'),
  registration: z
    .enum(['off', 'token', 'open'])
    .default('off')
    .describe(
      'Who may register a client (RFC 7591): nobody, whoever sends a secret key with `gatelodge.clients:write` as `Authorization: Bearer`, or anybody. Clients made so are external, and users are asked for their consent.',
    ),
  registration_quota: z
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe('How many clients there may be that have registered themselves.'),
  registration_scopes: listOf(scopeToken, maxScopesLength)
    .default([])
    .describe(
      'What a client may take of scopes when it registers itself, besides the standard ones (`openid`, `profile`, `email`, `phone`, `offline_access`).',
    ),
  resources: listOf(resourceIndicator)
    .default([])
    .describe(
      'What every client may name as `resource` (RFC 8707), besides what it has been given itself: APIs, and MCP servers, that take tokens of clients which register themselves.',
    ),
  login_seconds: z
    .int()
    .min(300)
    .max(31_536_000)
    .default(1_209_600)
    .describe('For how long a browser stays signed in after its last use.'),
  organization_picker: z
    .boolean()
    .default(true)
    .describe(
      'Whether a user with several organizations is asked at sign-in which one it is to be, where the client has not asked for one.',
    ),
};

/** The settings of an issuer, whole: a merge patch is applied to what stands and then checked by this. */
export const oidcSettingsMembers = z.strictObject(members);

/** What is stored of them, also by a node of another build: what this one can't take is as if it had not been set. */
export const storedOidcSettings = z.object({
  device_flow: orDefault(members.device_flow),
  dpop: orDefault(members.dpop),
  registration: orDefault(members.registration),
  registration_quota: orDefault(members.registration_quota),
  registration_scopes: orDefault(members.registration_scopes),
  resources: orDefault(members.resources),
  login_seconds: orDefault(members.login_seconds),
  organization_picker: orDefault(members.organization_picker),
});

/** A member that takes its default where there is a value that it can't have. */
function orDefault<Member extends z.ZodType>(member: Member) {
  return member.catch(() => member.parse(undefined));
}

export const oidcSettingsResource = z.object(members).meta({ id: 'OidcSettings' });

/** Body of `PATCH …/oidc-settings`; null sets a member back to its default. */
export const patchOidcSettingsBody = z
  .strictObject({
    device_flow: z.boolean().nullish(),
    dpop: z.boolean().nullish(),
    registration: members.registration.unwrap().nullish(),
    registration_quota: members.registration_quota.unwrap().nullish(),
    registration_scopes: members.registration_scopes.unwrap().nullish(),
    resources: members.resources.unwrap().nullish(),
    login_seconds: members.login_seconds.unwrap().nullish(),
    organization_picker: z.boolean().nullish(),
  })
  .meta({ id: 'PatchOidcSettingsRequest', examples: [{ device_flow: true }] });
