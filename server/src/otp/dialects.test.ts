import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { newAddress, SignIn, wrongCodes } from '../../test/harness/otp-client.ts';
import type { RawAnswer } from '../../test/harness/raw-http.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { type PresetName, presetNames } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
afterAll(() => server.close());

// Everything here comes from one address, which may have 60 mails sent an hour.
beforeEach(() => clock.advance(3_600));

const operations = ['request-otp', 'verify-otp'] as const;
type Operation = (typeof operations)[number];

/** What is refused, as each dialect says it. */
function bodies(
  answer: RawAnswer,
  refusal: { code: string; flat: string; nested: readonly [code: string, type: string]; title: string },
  {
    message,
    nestedMessage = message,
    ...more
  }: { message: string; nestedMessage?: string; attempts_left?: number },
) {
  const [nested, type] = refusal.nested;
  return {
    flat: { error: message, code: refusal.flat, ...more },
    nested: { error: { code: nested, message: nestedMessage, type, ...more } },
    problem: {
      type: `http://localhost:4600/docs/errors/${refusal.code}`,
      title: refusal.title,
      status: answer.status,
      detail: message,
      code: refusal.code,
      request_id: answer.headers['x-request-id'],
      ...more,
    },
  };
}

const invalidOtp = {
  code: 'invalid_otp',
  flat: 'INVALID_OTP',
  nested: ['invalid_otp', 'authentication_error'],
  title: 'Invalid code',
} as const;
const invalidKey = {
  code: 'invalid_key',
  flat: 'UNAUTHORIZED',
  nested: ['authentication_failed', 'authentication_error'],
  title: 'Invalid API key',
} as const;
const invalidRequest = {
  code: 'invalid_request',
  flat: 'INVALID_REQUEST',
  nested: ['invalid_request', 'invalid_request_error'],
  title: 'The request is not valid',
} as const;
const rateLimited = {
  code: 'rate_limited',
  flat: 'RATE_LIMITED',
  nested: ['rate_limited', 'rate_limit_error'],
  title: 'Rate limit exceeded',
} as const;

const made = new Map<PresetName, Promise<{ issuer: TestIssuer; key: TestKey }>>();

/** One for all tests of a preset. */
function issuerOf(preset: PresetName) {
  const create = async () => {
    const issuer = await TestIssuer.create(server, { preset });
    return { issuer, key: await issuer.createKey() };
  };
  const one = made.get(preset) ?? create();
  made.set(preset, one);
  return one;
}

const headersOfPresets = presetNames.flatMap((preset) =>
  presets[preset].key_headers.flatMap((header) =>
    [false, true].map((isNamed) => ({ preset, header, isNamed })),
  ),
);

describe.each(headersOfPresets)('$preset, by $header, issuer named in the path: $isNamed', (way) => {
  const { preset, header, isNamed } = way;
  const format = presets[preset].error_format;
  const asking = async (secretOf: (secret: string) => string = (secret) => secret) => {
    const { issuer, key } = await issuerOf(preset);
    const secret = secretOf(key.secret);
    const headers = { [header]: header === 'Authorization' ? `Bearer ${secret}` : secret };
    return new SignIn(server, { headers, ...(isNamed && { issuerId: issuer.id }) });
  };

  test('both operations answer', async () => {
    const app = await asking();
    const email = newAddress();
    const asked = await app.request(email);
    expect([asked.status, asked.headers['x-environment'], asked.body]).toEqual([
      200,
      'LIVE',
      {
        success: true,
        message: 'If this address can sign in, a code is on its way to it.',
        expires_in: 600,
        resend_in: 60,
      },
    ]);
    const code = await app.nextCode(email, 0);
    const wrong = await app.verify(email, wrongCodes(code, 1)[0]!);
    expect([wrong.status, wrong.headers['x-environment'], wrong.body]).toEqual([
      401,
      'LIVE',
      bodies(wrong, invalidOtp, { message: 'Invalid code. 4 attempts left.', attempts_left: 4 })[format],
    ]);
    const again = await app.request(email);
    expect([again.status, again.headers['retry-after'], again.body]).toEqual([
      429,
      '60',
      bodies(again, rateLimited, { message: 'Rate limit exceeded. Try again in 60 seconds.' })[format],
    ]);
    const right = await app.verify(email, code);
    expect([right.status, right.headers['x-environment'], right.body]).toEqual([
      200,
      'LIVE',
      {
        success: true,
        token: expect.stringMatching(/^eyJ/),
        token_type: 'Bearer',
        expires_in: 600,
        refresh_token: expect.stringMatching(/^gl_rt_/),
        user: { id: expect.stringMatching(/^usr_/), email },
        device_token: expect.stringMatching(/^gld_/),
      },
    ]);
  });

  test.each(operations)('%s refuses in its dialect', async (operation) => {
    const app = await asking();
    const answer = await app.post(operation, bodyOf(operation, 'nobody'));
    const message = 'email: must be an e-mail address, such as alice@example.com';
    const expected = bodies(answer, invalidRequest, { message })[format];
    expect([answer.status, answer.body]).toEqual([
      422,
      format === 'problem' ? expect.objectContaining(expected) : expected,
    ]);
  });

  // A key that nobody knows has no issuer whose dialect it would be: the path may name one, but no profile is told.
  test.each(operations)('%s refuses a forged key', async (operation) => {
    const forged = await asking((secret) => `${secret.slice(0, -44)}${'0'.repeat(44)}`);
    const answer = await forged.post(operation, bodyOf(operation, newAddress()));
    expect([answer.status, answer.body]).toEqual([
      401,
      bodies(answer, invalidKey, { message: 'Invalid API key' }).flat,
    ]);
  });
});

function bodyOf(operation: Operation, email: string): object {
  return operation === 'verify-otp' ? { email, otp: '123456' } : { email };
}
