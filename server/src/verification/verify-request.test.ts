import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send } from '../../test/harness/raw-http.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { AppError } from '../errors.ts';
import { managementPermissions } from '../scopes/scope.ts';
import { verifyBody } from './contracts.ts';
import { parseVerifyRequest } from './verify-request.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const path = '/v1/keys/verify';
const lone = '\ud800';

describe('422: tells each member that is wrong', () => {
  const wrong: [member: string, values: unknown[]][] = [
    ['key', [null, 7, true, [], {}, '', 'x'.repeat(513), 'a\u0000', lone]],
    ['origin', [7, false, [], {}, '', 'x'.repeat(513), `https://a.example\u0000`, lone]],
    ['tenant', [7, [], {}, '', 'x'.repeat(513), '\u0000', lone]],
    ['ip', [7, '', 'localhost', '1.2.3', '1.2.3.4.5', '01.2.3.4', '1.2.3.4/32', '::g', '[::1]', ' ::1', []]],
    ['environment', ['', 'LIVE', 'test', 1, []]],
    ['request_id', ['', 'a b', 'x'.repeat(129), 'ü', 'a\n', 7, {}]],
    ['explain', [0, 1, 'true', '', {}, []]],
    ['scopes', [{}, 7, true, Array.from({ length: 101 }, () => 'a:read')]],
    [
      'scopes',
      ['', ' ', 'a', 'a:read b:read', 'a:read AND', '(a:read', 'a:read,b:read', lone, 'a:read\u0000'],
    ],
    ['scopes', ['('.repeat(3072), 'a:read'.padEnd(3073), `a:read${' OR a:read'.repeat(100)}`]],
    ['scopes[0]', [['a'], [''], ['gatelodge.nonsense:read'], [7], [null], [['a:read']], ['Keys:Verify']]],
    ['scopes[1]', [['a:read', 'a b:read']]],
  ];

  test.each(wrong)('%s', async (path, values) => {
    const member = path.split('[', 1)[0]!;
    for (const value of values) {
      const answer = await server.operator.api.post('/v1/keys/verify', { key: 'x', [member]: value });
      expect([value, answer.status, answer.body.code]).toEqual([value, 422, 'invalid_request']);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(answer.headers.get('x-environment')).toBe('LIVE');
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toEqual([path]);
    }
  });

  test('all of them at once, and the first in the detail', async () => {
    const { body } = await server.operator.api.post(path, {
      ip: 'x',
      environment: 'x',
      scopes: ['x', 'a:b', 'y'],
    });
    expect(body.errors.map((error: { path: string }) => error.path)).toEqual([
      'ip',
      'environment',
      'scopes[0]',
      'scopes[2]',
      'key',
    ]);
    expect(body.errors.at(-1)).toEqual({ path: 'key', message: 'is required', code: 'required' });
    expect(body.detail).toBe('ip: must be an IPv4 or IPv6 address (and 4 more: see errors)');
  });

  test('a misspelled member is answered with the one that was likely meant', async () => {
    const { body } = await server.operator.api.post(path, { key: 'x', Scope: [], limits: [{ nam: 'a' }] });
    expect(body.errors.map((error: { message: string }) => error.message)).toEqual([
      'is not a member of this request; did you mean scopes?',
      'is not a member of this request; did you mean name?',
      'must be the name of a limit',
    ]);
  });

  test('unknown members: also those that later versions may know, and those that every object has', async () => {
    for (const member of ['quota', 'checks', 'account_id', 'Key', '__proto__', 'constructor', '']) {
      const rawBody = `{"key":"x",${JSON.stringify(member)}:{}}`;
      const { status, body } = await server.operator.api.request('POST', path, { rawBody });
      expect([member, status]).toEqual([member, 422]);
      expect(body.errors).toMatchObject([{ path: member, code: 'unknown_member' }]);
    }
  });

  test('50 at most, and of a member’s name no more than one can read', async () => {
    // Attack: a body of 256 KiB that is answered with megabytes, again and again.
    const members = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`m${index}`, 1]));
    const many = await server.operator.api.post(path, members);
    expect([many.status, many.body.errors.length]).toEqual([422, 50]);
    const name = `${'x'.repeat(99)}😀${'y'.repeat(200_000)}`;
    const long = await server.operator.api.post(path, { key: 'x', [name]: 1 });
    expect(long.body.errors).toMatchObject([{ path: `${'x'.repeat(99)}\ufffd`, code: 'unknown_member' }]);
    expect(long.text.length).toBeLessThan(2000);
  });

  test('a body that is no object', async () => {
    for (const rawBody of ['null', '[]', '"x"', '1', 'true', '[{"key":"x"}]']) {
      const { status, body } = await server.operator.api.request('POST', path, { rawBody });
      expect([rawBody, status, body.code]).toEqual([rawBody, 422, 'invalid_request']);
    }
  });

  test('and no answer repeats the key', async () => {
    const key = 'sk_live_canary'.padEnd(600, '0');
    const { status, text } = await server.operator.api.post(path, { key });
    expect(status).toBe(422);
    expect(text).not.toContain('canary');
  });
});

test('400: what is no JSON', async () => {
  for (const rawBody of [
    '',
    '{',
    "{'key':'x'}",
    '{"key":"x"},',
    '{"key":"x"}{}',
    'key=x',
    '\ufeff{"key":"x"}',
  ]) {
    const { status, body } = await server.operator.api.request('POST', path, { rawBody });
    expect([rawBody, status, body.code]).toEqual([rawBody, 400, 'malformed_json']);
  }
});

test('400: bytes that are no UTF-8', async () => {
  const rawBody = Buffer.from('{"key":"\xff"}', 'latin1');
  const { status, body } = await server.operator.api.request('POST', path, { rawBody });
  expect([status, body.code]).toEqual([400, 'malformed_json']);
});

describe('413', () => {
  const limit = 256 * 1024;
  const call = (length: number, isChunked: boolean) =>
    send(server.url + path, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${server.operator.key.secret}`,
        'Content-Type': 'application/json',
      },
      body: '{"key":"x"}'.padEnd(length),
      isChunked,
    });

  test.each([false, true])('from 256 KiB on, the length announced or not (%s)', async (isChunked) => {
    expect((await call(limit, isChunked)).status).toBe(200);
    for (const length of [limit + 1, 2 * limit, 20 * limit]) {
      const answer = await call(length, isChunked);
      expect([length, answer.status, answer.body.code]).toEqual([length, 413, 'body_too_large']);
      expect(answer.headers.connection).toBe('close');
    }
    expect((await call(limit, isChunked)).status).toBe(200);
  });
});

describe('415', () => {
  const rawBody = '{"key":"x"}';

  test('any other content type, and none', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json-seq',
      'application/json; charset=latin1',
      'application/json, text/plain',
      'application/merge-patch+json',
      'json',
      '',
    ]) {
      const { status, body } = await server.operator.api.request('POST', path, {
        rawBody,
        headers: { 'Content-Type': type },
      });
      expect([type, status, body.code]).toEqual([type, 415, 'unsupported_media_type']);
    }
  });

  test('but JSON, in each way to write it', async () => {
    for (const type of [
      'application/json',
      'Application/JSON',
      'application/json;charset=utf-8',
      'application/json; charset=UTF-8',
      'application/json; charset="utf-8"',
    ]) {
      const { status } = await server.operator.api.request('POST', path, {
        rawBody,
        headers: { 'Content-Type': type },
      });
      expect([type, status]).toEqual([type, 200]);
    }
  });
});

test('405: says that it answers POST', async () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const answer = await server.operator.api.request(method, path);
    expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'POST']);
  }
});

describe('the check by hand and the contract’s schema', () => {
  const goodText = fc.oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.constantFrom('😀'.repeat(512), 'x'.repeat(512)),
  );
  const goodScope = fc.constantFrom('invoices:read', 'a.b:c', ...managementPermissions);
  const goodAddress = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('::ffff:1.2.3.4', 'fe80::1%eth0', '::'));
  const goodExpression = fc
    .array(goodScope, { minLength: 1, maxLength: 6 })
    .map((scopes) => scopes.map((one, index) => (index % 2 === 0 ? one : `AND (${one} or a:b) OR`)).join(' '))
    .map((text) => (text.endsWith('OR') ? `${text} z:z` : text));
  const goodCost = fc.nat(1_000_000_000);
  const limitName = fc.constantFrom('hour', 'tokens', 'a.b:c-d_e', 'x'.repeat(64));
  const goodLimits = fc.uniqueArray(fc.record({ name: limitName, cost: goodCost }), {
    minLength: 1,
    selector: ({ name }) => name,
  });
  const orNull = (value: fc.Arbitrary<unknown>) => fc.option(value, { nil: null });
  const goodBody = fc.record(
    {
      key: goodText,
      origin: orNull(goodText),
      tenant: orNull(goodText),
      ip: orNull(goodAddress),
      environment: orNull(fc.constantFrom('live', 'sandbox')),
      scopes: orNull(fc.oneof(fc.array(goodScope, { maxLength: 4 }), goodExpression)),
      explain: orNull(fc.boolean()),
      request_id: orNull(fc.stringMatching(/^[\x21-\x7e]{1,128}$/)),
      cost: orNull(goodCost),
      limits: orNull(goodLimits),
    },
    { requiredKeys: ['key'] },
  );

  const anything = fc.jsonValue({ maxDepth: 2 });
  const scope = fc.oneof(goodScope, fc.string(), fc.constantFrom('a:b:c', 'gatelodge.x:y', 'KEYS:verify'));
  const doubtful = fc.oneof(
    anything,
    goodText,
    goodAddress,
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.string({ minLength: 505, maxLength: 520 }),
    fc.constantFrom('', lone, 'a\u0000b', '😀'.repeat(513), '1.2.3.4/8', '1.2.3.4\n', '::1 ', 'LIVE'),
    fc.ipV4Extended(),
    fc.array(scope, { maxLength: 102 }),
    fc.constantFrom(-1, 1.5, 1_000_000_001, -0, 2 ** 53),
    fc.array(
      fc.record(
        {
          name: fc.oneof(limitName, fc.constantFrom('', 'a b', 'x'.repeat(65), 'ü')),
          cost: fc.oneof(goodCost, fc.constantFrom(-1, '1', null)),
          more: fc.constant(1),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 21 },
    ),
    fc
      .array(fc.oneof(scope, fc.constantFrom('AND', 'or', '(', ')')), { maxLength: 9 })
      .map((words) => words.join(' ')),
  );
  const doubtfulMember = fc.record({
    name: fc.constantFrom(...Object.keys(verifyBody.shape), 'quota', 'toString'),
    value: doubtful,
  });

  function isTaken(input: unknown): boolean {
    try {
      parseVerifyRequest(input);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(AppError);
      expect((error as AppError).code).toBe('invalid_request');
      return false;
    }
  }

  function expectAgreement(input: unknown): boolean {
    // As it comes off the wire.
    const parsed: unknown = JSON.parse(JSON.stringify(input));
    const isContract = verifyBody.safeParse(parsed).success;
    expect(isTaken(parsed)).toBe(isContract);
    return isContract;
  }

  test('both take what is right in every member', () => {
    fc.assert(
      fc.property(goodBody, (body) => {
        expect(expectAgreement(body)).toBe(true);
      }),
      { numRuns: scaled(500, 50_000) },
    );
  });

  test('are of one mind about a member that may be wrong', () => {
    fc.assert(
      fc.property(goodBody, doubtfulMember, (body, { name, value }) => {
        expectAgreement({ ...body, [name]: value });
      }),
      { numRuns: scaled(3_000, 200_000) },
    );
  });

  test('are of one mind about anything', () => {
    fc.assert(fc.property(anything, (input) => void expectAgreement(input)));
    expect(expectAgreement({ origin: 'https://a.example' })).toBe(false);
  });

  test('name the same members', () => {
    expect(Object.keys(verifyBody.shape).toSorted()).toEqual(
      [
        'key',
        'origin',
        'tenant',
        'ip',
        'environment',
        'scopes',
        'request_id',
        'cost',
        'limits',
        'explain',
      ].toSorted(),
    );
    for (const name of ['__proto__', 'constructor', 'hasOwnProperty']) {
      const input: unknown = JSON.parse(`{"key":"x","${name}":1}`);
      expect([name, isTaken(input), verifyBody.safeParse(input).success]).toEqual([name, false, false]);
    }
  });
});
