import { isIP } from 'node:net';
import { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import { environmentField, text, timestampField } from '../http/fields.ts';
import { defineContract } from '../http/route.ts';
import { parseScope } from '../scopes/scope.ts';
import { refusals } from './refusals.ts';

/** Whatever Node takes for an address, as `verify-request.ts` does: zod's own pattern knows fewer spellings of IPv6. */
const ipAddress = z
  .string()
  .refine((value) => isIP(value) !== 0, 'must be an IPv4 or IPv6 address')
  .meta({ anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] });

const scope = z.string().superRefine((value, context) => {
  const parsed = parseScope(value);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
});

/** Body of `POST /v1/keys/verify`, as its contract; `verify-request.ts` checks it on the hot path. */
export const verifyBody = z
  .strictObject({
    key: text(1, 512).describe('The key as the request presented it.'),
    origin: text(1, 512).nullish().describe('The Origin header of the request, where it has one.'),
    ip: ipAddress.nullish().describe('The address the request came from.'),
    tenant: text(1, 512).nullish().describe('The id or the external_id of the organization it is for.'),
    environment: environmentField.nullish().describe('Refuses keys of the other environment.'),
    scopes: z.array(scope).max(100).nullish().describe('The key has to hold all of them.'),
    request_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,128}$/)
      .nullish()
      .describe('Your name for the request; comes back on the answer.'),
  })
  .meta({
    id: 'VerifyRequest',
    examples: [
      {
        key: 'gl_live_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample0011',
        origin: 'https://app.example.com',
        ip: '203.0.113.7',
        scopes: ['invoices:read'],
      },
    ],
  });

const verifyCodes = [
  'VALID',
  'NOT_FOUND',
  ...new Set(Object.values(refusals).map((refusal) => refusal.verifyCode)),
]
  .filter((code) => code !== null && code !== undefined)
  .filter((code, index, all) => all.indexOf(code) === index);

/** Answer of `POST /v1/keys/verify`. */
export const verifyResult = z
  .object({
    valid: z.boolean(),
    code: z.enum(verifyCodes as [string, ...string[]]),
    request_id: z.string(),
    key: z
      .object({
        id: z.string(),
        name: z.string(),
        kind: z.enum(['secret', 'publishable']),
        metadata: z.record(z.string(), z.json()),
        expires_at: timestampField.nullable(),
      })
      .nullable(),
    account_id: z.string().nullable(),
    issuer_id: z.string().nullable(),
    organization: z
      .object({ id: z.string(), external_id: z.string().nullable(), name: z.string() })
      .nullable(),
    environment: environmentField.nullable(),
    scopes: z.array(z.string()),
    limits: z.array(
      z.object({
        name: z.string(),
        limit: z.number().int(),
        remaining: z.number().int(),
        reset: z.number().int().describe('Unix seconds.'),
        exceeded: z.boolean(),
      }),
    ),
    warnings: z
      .array(z.string())
      .describe(
        '`stale`: decided from memory while Postgres is out of reach. `secret_key_in_browser`: a secret key came from a page. `rotated`: the key has a successor and ends with its grace.',
      ),
  })
  .meta({ id: 'VerifyResult' });

const identity = z
  .object({
    data: z.object({
      type: z.enum(['api_key', 'user', 'agent']),
      id: z.string(),
      account_id: z.string(),
      issuer_id: z.string().nullable(),
      organizations: z.array(z.object({ org_id: z.string(), name: z.string(), scopes: z.array(z.string()) })),
      environment: environmentField,
      scopes: z.array(z.string()),
    }),
  })
  .meta({ id: 'Identity' });

/** Why a key is no key any more, or never was. */
const deadKeys: readonly ErrorCode[] = [
  'missing_key',
  'invalid_key',
  'revoked_key',
  'expired_key',
  'disabled_key',
  'ambiguous_credentials',
];
const suspensions: readonly ErrorCode[] = ['account_suspended', 'issuer_suspended', 'tenant_suspended'];
const restrictions: readonly ErrorCode[] = ['origin_not_allowed', 'secret_key_in_browser', 'ip_not_allowed'];

/** The operations that the edge answers itself. */
export const verificationContracts = [
  defineContract({
    method: 'POST',
    path: '/v1/keys/verify',
    operationId: 'keys.verify',
    summary: 'Verify an API key',
    description:
      'Takes a secret key with `keys:verify`, which sees the keys at or below its own level. A decided request is always 200.',
    security: 'key',
    body: verifyBody,
    responses: { 200: { description: 'The decision.', schema: verifyResult } },
    errors: [...deadKeys, ...suspensions, ...restrictions, 'permission_denied', 'invalid_request'],
  }),
  defineContract({
    method: 'GET',
    path: '/v1/me',
    operationId: 'me.get',
    summary: 'Who is this credential?',
    description: 'By Basic (`key id:secret`), Bearer, or the key header of any preset.',
    security: 'any-key',
    responses: { 200: { description: 'Who it is.', schema: identity } },
    errors: [...deadKeys, ...suspensions, ...restrictions, 'invalid_token', 'tenant_mismatch'],
  }),
  defineContract({
    method: 'GET',
    path: '/v1/authorize/{issuer_id}',
    operationId: 'authorize.check',
    summary: 'Decide a request for a gateway (forward auth)',
    description:
      'Takes the original request’s headers by any method. Answers 200 with the identity in headers, or a refusal in the dialect of the issuer’s key profile.',
    security: 'issuer-key',
    anyMethod: true,
    params: z.object({ issuer_id: z.string() }),
    query: z.object({
      scope: z
        .string()
        .optional()
        .describe('A scope the key has to hold; may be repeated, or several with spaces.'),
      environment: z.string().optional().describe('live or sandbox, or the profile’s label.'),
      status: z.enum(['nginx']).optional().describe('Answers 429 as 403 with X-Gatelodge-Status.'),
    }),
    responses: {
      200: {
        description: 'Let it through.',
        headers: [
          'X-Gatelodge-Key-Id',
          'X-Gatelodge-Account-Id',
          'X-Gatelodge-Issuer-Id',
          'X-Gatelodge-Organization-Id',
          'X-Gatelodge-Kind',
          'X-Gatelodge-Environment',
          'X-Gatelodge-Scopes',
        ],
      },
    },
    errors: [
      ...deadKeys,
      ...suspensions,
      ...restrictions,
      'tenant_required',
      'tenant_mismatch',
      'wrong_environment',
      'insufficient_scope',
      'invalid_request',
    ],
  }),
];
