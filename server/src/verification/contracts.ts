import { isIP } from 'node:net';
import { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import { environmentField, text, timestampField } from '../http/fields.ts';
import { defineContract } from '../http/route.ts';
import { levelKinds, limitNamePattern } from '../limits/limits.ts';
import { organizationClaims } from '../members/member-schema.ts';
import { parseScope } from '../scopes/scope.ts';
import { maxExpressionLength, parseScopeExpression } from '../scopes/scope-expression.ts';
import { checkNames, checkOutcomes } from './explain.ts';
import { refusals } from './refusals.ts';
import { maxBatch, maxCost, maxNamedLimits } from './verify-request.ts';

/** Whatever Node takes for an address, as `verify-request.ts` does: zod's own pattern knows fewer spellings of IPv6. */
const ipAddress = z
  .string()
  .refine((value) => isIP(value) !== 0, 'must be an IPv4 or IPv6 address')
  .meta({ anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] });

const scope = z.string().superRefine((value, context) => {
  const parsed = parseScope(value);
  if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
});

const scopeExpression = z
  .string()
  .min(1)
  .max(maxExpressionLength)
  .superRefine((value, context) => {
    const parsed = parseScopeExpression(value);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
  });

const cost = z.int().min(0).max(maxCost);

/** Body of `POST /v1/keys/verify`, as its contract; `verify-request.ts` checks it on the hot path. */
export const verifyBody = z
  .strictObject({
    key: text(1, 512).describe('The key as the request presented it.'),
    origin: text(1, 512).nullish().describe('The Origin header of the request, where it has one.'),
    ip: ipAddress.nullish().describe('The address the request came from.'),
    tenant: text(1, 512).nullish().describe('The id or the external_id of the organization it is for.'),
    environment: environmentField.nullish().describe('Refuses keys of the other environment.'),
    scopes: z
      .union([z.array(scope).max(100), scopeExpression])
      .nullish()
      .describe(
        'What the key has to hold: all of a list, or what an expression such as `a:read AND (b:read OR c:write)` says. AND binds tighter than OR.',
      ),
    request_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,128}$/)
      .nullish()
      .describe(
        'Your name for the request; comes back on the answer. Sent again by the same caller within ten minutes, for the same key and with the same members, the request consumes and meters once.',
      ),
    cost: cost.nullish().describe('What the request takes from every limit; 1 unless given.'),
    limits: z
      .array(z.strictObject({ name: z.string().regex(limitNamePattern), cost }))
      .min(1)
      .max(maxNamedLimits)
      .refine(
        (named) => new Set(named.map(({ name }) => name)).size === named.length,
        'names a limit twice; add the costs up',
      )
      .nullish()
      .describe('What it takes from the limits of these names instead, at every level that has one.'),
    explain: z
      .boolean()
      .nullish()
      .describe('The answer tells every check in `checks`. Nothing is consumed or counted.'),
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

const checkReport = z
  .object({
    check: z.enum(checkNames),
    outcome: z.enum(checkOutcomes).describe('`skipped`: there was nothing to decide.'),
    code: z
      .enum(verifyCodes as [string, ...string[]])
      .nullable()
      .describe('Of a check that failed.'),
    message: z.string().describe('The fact that decided; for people, its words may change.'),
  })
  .meta({ id: 'VerifyCheck' });

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
        level: z.enum(levelKinds).describe('Whose limit it is.'),
        limit: z.number().int(),
        remaining: z.number().int(),
        reset: z
          .number()
          .int()
          .nullable()
          .describe('Unix seconds at which it starts anew; null for credits that are not refilled.'),
        exceeded: z.boolean(),
      }),
    ),
    warnings: z
      .array(z.string())
      .describe(
        '`stale`: decided from memory while Postgres is out of reach. `secret_key_in_browser`: a secret key came from a page. `rotated`: the key has a successor and ends with its grace.',
      ),
    checks: z
      .array(checkReport)
      .optional()
      .describe(
        'With `explain`: every check in its order, each on its own. The first that failed is the code of the answer.',
      ),
  })
  .meta({ id: 'VerifyResult' });

const verifyBatchBody = z.strictObject({ requests: z.array(verifyBody).min(1).max(maxBatch) }).meta({
  id: 'VerifyBatchRequest',
  examples: [
    {
      requests: [
        { key: 'gl_live_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample0011' },
        { key: 'gl_live_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample0022', scopes: 'a:read OR b:read' },
      ],
    },
  ],
});

const identity = z
  .object({
    data: z.object({
      type: z.enum(['api_key', 'user', 'agent']),
      id: z.string(),
      account_id: z.string(),
      issuer_id: z.string().nullable(),
      organizations: organizationClaims,
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
    method: 'POST',
    path: '/v1/keys/verify-batch',
    operationId: 'keys.verifyBatch',
    summary: 'Verify up to 100 API keys',
    description:
      'As `keys.verify`, for the same callers, with the answers in the order of the requests. One request that is wrong, or that can’t be decided just now, refuses all.',
    security: 'key',
    body: verifyBatchBody,
    responses: {
      200: {
        description: 'The decisions.',
        schema: z.object({ data: z.array(verifyResult) }).meta({ id: 'VerifyBatchResult' }),
      },
    },
    errors: [...deadKeys, ...suspensions, ...restrictions, 'permission_denied', 'invalid_request'],
  }),
  defineContract({
    method: 'GET',
    path: '/v1/me',
    operationId: 'me.get',
    summary: 'Who is this credential?',
    description:
      'By Basic (`key id:secret`), Bearer, or the key header of any preset; or the access token of sign-in by e-mailed code, as Bearer. Those of OIDC clients go to `/{issuer_id}/userinfo`.',
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
        .describe(
          'What the key has to hold: a scope, several with spaces, or an expression with AND, OR and parentheses. Repeated, all of them.',
        ),
      environment: z.string().optional().describe('live or sandbox, or the profile’s label.'),
      status: z
        .enum(['nginx'])
        .optional()
        .describe(
          'For auth_request of nginx: answers 429 as 403 with X-Gatelodge-Status: 429, and repeats the body of a refusal in X-Gatelodge-Body.',
        ),
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
