import { z } from 'zod';
import {
  environmentField,
  instantField,
  metadataField,
  metadataPatchField,
  nameField,
  text,
  timestampField,
} from '../http/fields.ts';
import { limitsField } from '../limits/limit-schema.ts';
import { quotaField, quotaPatchField, quotaResource } from '../limits/quota-schema.ts';
import { parseScope } from '../scopes/scope.ts';
import { parseIpRange } from './ip-ranges.ts';
import { parseAllowedOrigin } from './origins.ts';

type Parsed = { ok: true } | { ok: false; message: string };

/** A list of up to 100 texts, each in a form of its own; each bad entry is told with its fix. Doubles are dropped. */
function listOf(parse: (entry: string) => Parsed & { value?: string }) {
  return z
    .array(z.string())
    .max(100)
    .transform((entries, context) => {
      const values = entries.map((entry, index) => {
        const parsed = parse(entry);
        if (parsed.ok) return parsed.value ?? entry;
        context.addIssue({ code: 'custom', path: [index], message: parsed.message, input: entry });
        return entry;
      });
      return [...new Set(values)];
    });
}

/** They go into one header of an authorization's answer, and clients take some 16 KiB of headers at the most. */
const maxScopesLength = 3 * 1024;
/** Each node holds them in memory for every key in use. */
const maxRestrictionsLength = 8 * 1024;

const scopes = listOf(parseScope)
  .refine(
    (list) => list.join(' ').length <= maxScopesLength,
    `must have at most ${maxScopesLength} characters together; give the key fewer or shorter scopes`,
  )
  .describe('`resource:action` or `resource.sub:action`; at most 3 KiB together.');
const origins = listOf((entry) => {
  const parsed = parseAllowedOrigin(entry);
  return parsed.ok ? { ok: true, value: parsed.origin } : parsed;
}).describe('Exact origins; the port of loopback may be `*`. None, null and [] mean any origin.');
const ips = listOf((entry) => {
  const parsed = parseIpRange(entry);
  return parsed.ok ? { ok: true, value: parsed.range } : parsed;
}).describe('Addresses or CIDR ranges the key may be used from; none means any.');

const browsers = z.enum(['allow', 'deny']).describe('`deny` refuses every request from a browser.');
const requireOrigin = z.boolean().describe('Refuses requests that carry no Origin.');

/** What a key may do and where from, as it is asked for. */
const restrictionsRequest = z
  .strictObject({
    scopes: scopes
      .nullish()
      .describe('At most 3 KiB together. Absent: every permission for an account key, none for any other.'),
    origins: origins.nullish(),
    browsers: browsers.nullish(),
    require_origin: requireOrigin.nullish(),
    ips: ips.nullish(),
  })
  .refine(
    ({ scopes, origins, ips }) =>
      [scopes, origins, ips].flatMap((list) => list ?? []).join(' ').length <= maxRestrictionsLength,
    `must have at most ${maxRestrictionsLength} characters in scopes, origins and ips together; use several keys`,
  )
  .describe('At most 8 KiB of scopes, origins and ips together.');

const description = text(1, 1000);

const limits = limitsField.describe(
  'The key’s own limits, beside those of its organization, issuer and account. Counted for its whole line of rotations; each key of the line has a list of its own.',
);
const quota = quotaField.describe(
  'Credits that decisions use up, counted for the whole line of rotations; null for no such limit.',
);

/** Body of `POST …/api-keys`. */
export const createApiKeyBody = z
  .strictObject({
    type: z.literal('api_key').optional(),
    name: nameField.nullish().describe('The description, or such as `live key 2026-11-21`, unless given.'),
    description: description.nullish(),
    kind: z.enum(['secret', 'publishable']).default('secret'),
    environment: environmentField.nullish().describe('That of the issuer unless given.'),
    restrictions: restrictionsRequest.nullish(),
    limits: limits.nullish(),
    quota: quota.nullish(),
    expires_at: instantField.nullish(),
    metadata: metadataField.nullish(),
  })
  .meta({
    id: 'CreateApiKeyRequest',
    examples: [
      {
        name: 'Billing service',
        description: 'Reads invoices for the nightly run',
        restrictions: {
          scopes: ['invoices:read'],
          origins: ['https://app.example.com', 'http://localhost:*'],
          ips: ['203.0.113.0/24'],
        },
        limits: [{ name: 'hour', limit: 500, window: 'hour' }],
        quota: { credits: 10_000, refill: { amount: 10_000, every: 'month' } },
        expires_at: '2036-01-31T00:00:00Z',
        metadata: { team: 'billing' },
      },
    ],
  });

export type CreateApiKeyInput = z.output<typeof createApiKeyBody>;

/** What `PATCH` may change, whole: a merge patch is applied to the row and then checked by this. */
export const apiKeyMembers = z.strictObject({
  name: nameField,
  description: description.nullable().default(null),
  restrictions: restrictionsRequest.default({}),
  limits: limits.default([]),
  quota: quota.nullable().default(null),
  expires_at: instantField.nullable().default(null),
  metadata: metadataField.default({}),
});

/** Body of `PATCH …/api-keys/{key_id}`, a merge patch. */
export const patchApiKeyBody = z
  .strictObject({
    name: nameField.optional(),
    description: description.nullish(),
    restrictions: restrictionsRequest.nullish(),
    limits: limits.nullish().describe('Replaces the list; null for none.'),
    quota: quotaPatchField
      .nullish()
      .describe(
        'With `credits` a top-up; without, only how they are refilled is changed; null for no quota.',
      ),
    expires_at: instantField.nullish(),
    metadata: metadataPatchField.nullish(),
  })
  .meta({
    id: 'PatchApiKeyRequest',
    examples: [
      { description: 'Reads invoices every hour', restrictions: { ips: null }, metadata: { team: null } },
    ],
  });

/** The longest grace: 30 days. */
const maxGraceSeconds = 2_592_000;
const defaultGraceSeconds = 86_400;

/** Body of `POST …/api-keys/{key_id}/rotate`. */
export const rotateApiKeyBody = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(maxGraceSeconds)
      .optional()
      .describe(
        'How long the old key still works; 0 ends it at once. Unless given a day, with `"retire": "when-quiet"` 30 days.',
      ),
    retire: z
      .enum(['after-grace', 'when-quiet'])
      .default('after-grace')
      .describe(
        '`when-quiet` retires the old key once no request with it has passed for 24 hours, and at the latest when the grace ends.',
      ),
  })
  .transform(({ grace_seconds, retire }) => ({
    retire,
    grace_seconds: grace_seconds ?? (retire === 'when-quiet' ? maxGraceSeconds : defaultGraceSeconds),
  }))
  .meta({ id: 'RotateApiKeyRequest', examples: [{ grace_seconds: 604_800 }] });

export const apiKeyStatusField = z.enum(['active', 'disabled', 'revoked', 'expired']);

const apiKeyShape = {
  id: z.string(),
  type: z.literal('api_key'),
  account_id: z.string(),
  issuer_id: z.string().nullable(),
  organization_id: z.string().nullable(),
  name: z.string(),
  description: z.string().nullable(),
  kind: z.enum(['secret', 'publishable']),
  environment: environmentField,
  status: apiKeyStatusField,
  hint: z.string().describe('The prefix and the last four characters of the secret.'),
  restrictions: z.object({
    scopes: z.array(z.string()).nullable().describe('null: every permission of the account.'),
    origins: z.array(z.string()),
    browsers,
    require_origin: z.boolean(),
    ips: z.array(z.string()),
  }),
  limits,
  quota: quotaResource.nullable(),
  metadata: z.record(z.string(), z.json()),
  expires_at: timestampField.nullable(),
  created_at: timestampField,
  updated_at: timestampField,
  created_by: z.object({ type: z.enum(['api_key', 'system']), id: z.string() }),
  last_used_at: timestampField
    .nullable()
    .describe('When it last passed, a minute behind at the most; null before the first time.'),
  rotation_due_at: timestampField.nullable(),
  revoked_at: timestampField.nullable(),
  imported: z.boolean().describe('Known by a hash that another system made; for verify and authorize only.'),
  lineage_id: z
    .string()
    .describe(
      'The first key of the line of rotations, whose limits its keys share; its own id for that one.',
    ),
  predecessor_id: z.string().nullable().describe('The key that it took over from.'),
  successor_id: z.string().nullable().describe('The key that takes over from it.'),
  rotated_at: timestampField.nullable(),
  retires_at: timestampField
    .nullable()
    .describe('The end of the grace in which a rotated key still works, or when it retired as it was quiet.'),
  retire: z.enum(['after-grace', 'when-quiet']).nullable(),
};

export const apiKeyResource = z.object(apiKeyShape).meta({ id: 'ApiKey' });

/** A key that is read by itself. */
export const apiKeyWithTrafficResource = z
  .object({
    ...apiKeyShape,
    traffic: z
      .object({
        share: z
          .number()
          .min(0)
          .max(1)
          .nullable()
          .describe('The part of them that came with this key; null where there were none.'),
        total: z.int().describe('Requests with either key, whatever became of them.'),
        since: timestampField,
      })
      .optional()
      .describe(
        'Of a key that was rotated and of its successor alone: what each of the two is still used for, since the rotation or in the last 24 hours (from the beginning of the hour).',
      ),
  })
  .meta({ id: 'ApiKeyWithTraffic' });

/** The answer of a creation: the only one that ever shows the secret. */
export const createdApiKeyResource = z
  .object({ ...apiKeyShape, secret_plain: z.string().describe('Shown on this answer only.') })
  .meta({ id: 'CreatedApiKey' });
