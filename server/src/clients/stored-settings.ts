import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Json, JsonObject } from '../postgres/schema.ts';
import {
  applicationTypes,
  authMethods,
  type ClientSettings,
  grantTypes,
  withDefaults,
} from './client-settings.ts';

const texts = z.array(z.string());
/** A grant of a later build is one that this build does not carry out. */
const knownGrants = texts.transform((grants) => grantTypes.filter((grant) => grants.includes(grant)));

const openid = z.object({
  application_type: orNothing(z.enum(applicationTypes)),
  grant_types: orNothing(knownGrants),
  redirect_uris: orNothing(texts),
  post_logout_redirect_uris: orNothing(texts),
  token_endpoint_auth_method: orNothing(z.enum(authMethods)),
  pkce: orNothing(z.enum(['required', 'optional'])),
  require_pushed_authorization_requests: z.boolean().optional().catch(true),
  dpop_bound_access_tokens: z.boolean().optional().catch(true),
  resource_indicators: orNothing(texts),
  backchannel_logout_uri: orNothing(z.string().nullable()),
  backchannel_logout_session_required: orNothing(z.boolean()),
  access_token_seconds: orNothing(z.int().nullable()),
  refresh_token_seconds: orNothing(z.int().nullable()),
  remember_consent: orNothing(z.boolean()),
});

const stored = z.object({
  protocol: orNothing(z.literal('oidc')),
  scopes: texts.optional().catch([]),
  organization_scopes: texts.nullable().catch([]),
  openid: openid.catch({}),
});

/**
 * The settings of a row, also of one that a node of a build which knows more, or other values, has written: whatever this
 * build can't take is as if it had not been set, and what it does not know is left out. Only what limits a client limits it
 * the most where it can't be read.
 */
export function readSettings({
  confidential,
  settings,
}: {
  confidential: boolean;
  settings: JsonObject;
}): ClientSettings {
  return withDefaults({ confidential, settings: stored.parse(settings) }).settings;
}

/**
 * Settings to store in place of `stored`: what has changed from `before`, which `readSettings` has made of them, to `after`.
 * All else stays as it is, also what a later build has written and this one can't read.
 */
export function changedSettings(
  stored: JsonObject,
  before: ClientSettings,
  after: ClientSettings,
): JsonObject {
  const { openid: openidBefore, ...restBefore } = before;
  const { openid: openidAfter, ...restAfter } = after;
  const { openid } = stored;
  return {
    ...stored,
    ...changesOf(restBefore, restAfter),
    openid: { ...(isObject(openid) && openid), ...changesOf(openidBefore, openidAfter) },
  };
}

function changesOf<Members extends object>(before: Members, after: Members): JsonObject {
  return Object.fromEntries(
    Object.entries(after).filter(([name, value]) => !isDeepStrictEqual(value, before[name as keyof Members])),
  );
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function orNothing<Member extends z.ZodType>(member: Member) {
  return member.optional().catch(undefined);
}
