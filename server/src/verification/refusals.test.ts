import { describe, expect, test } from 'vitest';
import { errorFormats } from '../key-profiles/key-profile.ts';
import { type RefusalCode, refusals, renderRefusal } from './refusals.ts';

const context = { requestId: 'req_1', docsBaseUrl: 'https://keys.example' };
const codes = Object.keys(refusals) as RefusalCode[];

describe('the bodies of the contract, byte for byte', () => {
  test('nested', () => {
    expect(renderRefusal('nested', 'invalid_key', context)).toEqual({
      contentType: 'application/json',
      body: '{"error":{"code":"authentication_failed","message":"Invalid API key provided","type":"authentication_error"}}',
    });
  });

  test('flat', () => {
    expect(renderRefusal('flat', 'missing_key', context)).toEqual({
      contentType: 'application/json',
      body: '{"error":"Missing API key","code":"UNAUTHORIZED"}',
    });
    expect(renderRefusal('flat', 'rate_limited', { ...context, retryAfterSeconds: 60 }).body).toBe(
      '{"error":"Rate limit exceeded. Try again in 60 seconds.","code":"RATE_LIMITED"}',
    );
  });

  test('problem (RFC 9457)', () => {
    expect(renderRefusal('problem', 'tenant_required', { ...context, tenantHeader: 'x-tn' })).toEqual({
      contentType: 'application/problem+json',
      body: '{"type":"https://keys.example/docs/errors/tenant_required","title":"Tenant is required","status":403,"detail":"Tenant header x-tn is required","code":"tenant_required","request_id":"req_1"}',
    });
  });
});

// The table of the contract: refusal, status, nested code, nested type, flat code, message.
const contract: [RefusalCode, number, string, string, string, string][] = [
  ['missing_key', 401, 'authentication_failed', 'authentication_error', 'UNAUTHORIZED', 'Missing API key'],
  ['invalid_key', 401, 'authentication_failed', 'authentication_error', 'UNAUTHORIZED', 'Invalid API key'],
  [
    'revoked_key',
    401,
    'authentication_failed',
    'authentication_error',
    'UNAUTHORIZED',
    'API key has been revoked',
  ],
  [
    'expired_key',
    401,
    'authentication_failed',
    'authentication_error',
    'UNAUTHORIZED',
    'API key has expired',
  ],
  [
    'disabled_key',
    401,
    'authentication_failed',
    'authentication_error',
    'UNAUTHORIZED',
    'API key is disabled',
  ],
  [
    'ambiguous_credentials',
    401,
    'authentication_failed',
    'authentication_error',
    'UNAUTHORIZED',
    'Ambiguous credentials',
  ],
  [
    'tenant_required',
    403,
    'tenant_required',
    'permission_error',
    'FORBIDDEN',
    'Tenant header x-tn is required',
  ],
  [
    'tenant_mismatch',
    403,
    'tenant_mismatch',
    'permission_error',
    'FORBIDDEN',
    'Tenant not allowed for this key',
  ],
  ['tenant_suspended', 403, 'tenant_suspended', 'permission_error', 'FORBIDDEN', 'Tenant is suspended'],
  ['account_suspended', 403, 'account_suspended', 'permission_error', 'FORBIDDEN', 'Account is suspended'],
  ['issuer_suspended', 403, 'issuer_suspended', 'permission_error', 'FORBIDDEN', 'Issuer is suspended'],
  ['origin_not_allowed', 403, 'origin_not_allowed', 'permission_error', 'FORBIDDEN', 'Origin not allowed'],
  ['ip_not_allowed', 403, 'ip_not_allowed', 'permission_error', 'FORBIDDEN', 'IP address not allowed'],
  [
    'wrong_environment',
    403,
    'wrong_environment',
    'permission_error',
    'FORBIDDEN',
    'Environment not allowed for this key',
  ],
  [
    'secret_key_in_browser',
    403,
    'secret_key_in_browser',
    'permission_error',
    'FORBIDDEN',
    'Secret key not allowed in a browser',
  ],
  ['insufficient_scope', 403, 'insufficient_scope', 'permission_error', 'FORBIDDEN', 'Insufficient scope'],
  [
    'rate_limited',
    429,
    'rate_limited',
    'rate_limit_error',
    'RATE_LIMITED',
    'Rate limit exceeded. Try again in 7 seconds.',
  ],
  [
    'quota_exceeded',
    429,
    'quota_exceeded',
    'rate_limit_error',
    'QUOTA_EXCEEDED',
    'Rate limit exceeded. Try again in 7 seconds.',
  ],
  [
    'invalid_request',
    422,
    'invalid_request',
    'invalid_request_error',
    'INVALID_REQUEST',
    'The request is not valid',
  ],
  ['invalid_otp', 401, 'invalid_otp', 'authentication_error', 'INVALID_OTP', 'Invalid code'],
  ['invalid_token', 401, 'invalid_token', 'authentication_error', 'INVALID_TOKEN', 'Invalid token'],
  ['unavailable', 503, 'unavailable', 'api_error', 'UNAVAILABLE', 'Try again shortly'],
];

describe('every refusal', () => {
  test('is a row of the contract', () => {
    expect([...codes].sort()).toEqual(contract.map(([code]) => code).sort());
  });

  test.each(contract)(
    '%s reads as the contract says, in every dialect',
    (code, status, nestedCode, type, flatCode, message) => {
      const known = { ...context, tenantHeader: 'x-tn', retryAfterSeconds: 7 };
      const nestedMessage = code === 'invalid_key' ? 'Invalid API key provided' : message;
      expect(refusals[code].status).toBe(status);
      expect(JSON.parse(renderRefusal('nested', code, known).body)).toEqual({
        error: { code: nestedCode, message: nestedMessage, type },
      });
      expect(JSON.parse(renderRefusal('flat', code, known).body)).toEqual({ error: message, code: flatCode });
      expect(JSON.parse(renderRefusal('problem', code, known).body)).toEqual({
        type: `https://keys.example/docs/errors/${code}`,
        title: refusals[code].message,
        status,
        detail: message,
        code,
        request_id: 'req_1',
      });
    },
  );

  test.each(errorFormats)('has a message in %s when nothing more is known', (format) => {
    for (const code of codes) {
      expect(renderRefusal(format, code, context).body).not.toContain('undefined');
    }
  });

  test('says what the refuser knows better, the same in every dialect', () => {
    const message = 'email: write an address such as "a@b.example"';
    const bodies = errorFormats.map((format) =>
      JSON.parse(renderRefusal(format, 'invalid_request', { ...context, message }).body),
    );
    expect(bodies.map((body) => body.detail ?? body.error.message ?? body.error)).toEqual([
      message,
      message,
      message,
    ]);
  });

  // Attack: a header name or a request id with quotes and line breaks makes another document of the answer.
  test('stays one JSON document whatever it is told', () => {
    const hostile = '","code":"x"}\r\n\u2028<script>\ud800';
    for (const format of errorFormats) {
      const { body } = renderRefusal(format, 'tenant_required', {
        requestId: hostile,
        docsBaseUrl: '',
        tenantHeader: hostile,
      });
      expect(Object.keys(JSON.parse(body))).toEqual(
        Object.keys(JSON.parse(renderRefusal(format, 'tenant_required', context).body)),
      );
      expect(body).not.toContain('\n');
    }
  });
});

test('verify has its own names for what it can decide', () => {
  const names = Object.fromEntries(codes.map((code) => [code, refusals[code].verifyCode]));
  expect(names).toEqual({
    missing_key: null,
    invalid_key: 'NOT_FOUND',
    revoked_key: 'REVOKED',
    expired_key: 'EXPIRED',
    disabled_key: 'DISABLED',
    ambiguous_credentials: null,
    account_suspended: 'ACCOUNT_SUSPENDED',
    issuer_suspended: 'ISSUER_SUSPENDED',
    wrong_environment: 'WRONG_ENVIRONMENT',
    tenant_required: 'TENANT_REQUIRED',
    tenant_mismatch: 'TENANT_MISMATCH',
    tenant_suspended: 'TENANT_SUSPENDED',
    origin_not_allowed: 'ORIGIN_NOT_ALLOWED',
    secret_key_in_browser: 'SECRET_KEY_IN_BROWSER',
    ip_not_allowed: 'IP_NOT_ALLOWED',
    insufficient_scope: 'INSUFFICIENT_SCOPE',
    rate_limited: 'RATE_LIMITED',
    quota_exceeded: 'QUOTA_EXCEEDED',
    invalid_request: null,
    invalid_otp: null,
    invalid_token: null,
    unavailable: null,
  });
});
