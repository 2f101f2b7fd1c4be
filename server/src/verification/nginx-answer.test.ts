import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { refusalForNginx } from './nginx-answer.ts';
import { renderRefusal } from './refusals.ts';

function headersOf({ headers }: { headers: string[] }): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: headers.length / 2 }, (_, index) => [headers[2 * index], headers[2 * index + 1]]),
  );
}

describe('a refusal for nginx', () => {
  test('of 429 is a 403 that says which it was', () => {
    const { body } = renderRefusal('flat', 'rate_limited', {
      requestId: 'req_1',
      docsBaseUrl: '',
      retryAfterSeconds: 60,
    });
    const refusal = refusalForNginx(429, body);
    expect(refusal.status).toBe(403);
    expect(headersOf(refusal)).toEqual({
      'X-Gatelodge-Status': '429',
      'X-Gatelodge-Body': '{"error":"Rate limit exceeded. Try again in 60 seconds.","code":"RATE_LIMITED"}',
    });
  });

  test.each([401, 403, 422, 503])('of %i keeps its status', (status) => {
    const refusal = refusalForNginx(status, '{}');
    expect(refusal.status).toBe(status);
    expect(headersOf(refusal)).toEqual({ 'X-Gatelodge-Body': '{}' });
  });

  test('carries any body in printable ASCII, as the same JSON value', () => {
    // Attack: a value in the body that ends the header line, and goes on with a header of the attacker's.
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const header = headersOf(refusalForNginx(403, JSON.stringify(value)))['X-Gatelodge-Body']!;
        expect(header).toMatch(/^[ -~]*$/);
        expect(JSON.parse(header)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('?status=nginx', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.close());

  test.each(['standard', 'otp', 'tenant-header'])(
    'repeats the body of a 401 and a 403 in a header, preset %s',
    async (preset) => {
      const issuer = await TestIssuer.create(server, {
        preset,
        tenant_header: { name: 'x-tn', required: true },
      });
      const header = preset === 'otp' ? 'X-OTP-API-Key' : 'X-API-Key';
      const { secret } = await issuer.createKey();
      for (const [status, headers] of [
        [401, {}],
        [401, { [header]: 'nobody' }],
        [403, { [header]: secret }],
      ] as const) {
        const named = { ...headers, 'X-Request-Id': 'trace-7' };
        const plain = await issuer.authorize(named);
        const answer = await issuer.authorize(named, '?status=nginx');
        expect([plain.status, answer.status]).toEqual([status, status]);
        expect(answer.text).toBe(plain.text);
        expect(answer.headers['x-gatelodge-body']).toBe(plain.text);
        expect(answer.headers).not.toHaveProperty('x-gatelodge-status');
        expect(plain.headers).not.toHaveProperty('x-gatelodge-body');
      }
    },
  );

  test('tells a key in the address of the request as well', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'otp' });
    const { secret } = await issuer.createKey();
    succeeded(await issuer.api.get(issuer.path));
    const behindProxy = await startTestServer({
      nodeOf: server,
      env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
    });
    try {
      const answer = await issuer
        .at(behindProxy)
        .authorize({ 'X-Forwarded-Uri': `/v1/things?key=${secret}` }, '?status=nginx');
      expect(answer.headers['x-gatelodge-body']).toBe(
        '{"error":"Ambiguous credentials","code":"UNAUTHORIZED"}',
      );
    } finally {
      await behindProxy.close();
    }
  });

  test('leaves an allowed request’s answer as it is', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'otp' });
    const { secret } = await issuer.createKey();
    const answer = await issuer.authorize({ 'X-OTP-API-Key': secret }, '?status=nginx');
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.headers)).not.toContain('x-gatelodge-status');
    expect(Object.keys(answer.headers)).not.toContain('x-gatelodge-body');
  });
});
