import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

let server: TestServer;
let issuer: TestIssuer;
let key: TestKey;

beforeAll(async () => {
  server = await startTestServer();
  issuer = await TestIssuer.create(server);
  key = await issuer.createKey({ restrictions: { scopes: ['a:read', 'c:write'] } });
});
afterAll(() => server.close());

/** @param query as it stands in the URL, or the values of `scope` */
async function statusOf(query: string | readonly string[]): Promise<number> {
  const text =
    typeof query === 'string' ? query : query.map((value) => `scope=${encodeURIComponent(value)}`).join('&');
  return (await issuer.authorize({ 'X-API-Key': key.secret }, `?${text}`)).status;
}

describe('scope=', () => {
  test.each([
    ['a:read', 200],
    ['b:read', 403],
    ['a:read c:write', 200],
    ['a:read  c:write ', 200],
    ['a:read b:read', 403],
    ['a:read OR b:read', 200],
    ['a:read or b:read', 200],
    ['a:read AND b:read', 403],
    ['a:read AND (b:read OR c:write)', 200],
    ['(b:read)', 403],
    ['(a:read)', 200],
    ['b:read AND a:read OR c:write', 200],
  ])('%j is %i', async (value, status) => {
    expect(await statusOf([value])).toBe(status);
  });

  test('with a plus for a blank, as forms write it', async () => {
    expect(await statusOf('scope=b:read+OR+a:read')).toBe(200);
    expect(await statusOf('scope=a:read+c:write')).toBe(200);
  });

  // Attack: a gateway passes its caller's query along, and the caller adds a demand that he meets.
  test('repeated can only demand more', async () => {
    for (const own of ['a:read', 'a:read OR b:read', 'a:read c:write']) {
      expect([own, await statusOf(['b:read', own])]).toEqual([own, 403]);
      expect([own, await statusOf([own, 'b:read'])]).toEqual([own, 403]);
      expect([own, await statusOf(['b:read AND b:read', own])]).toEqual([own, 403]);
      expect([own, await statusOf([own, 'c:write'])]).toEqual([own, 200]);
      expect([own, await statusOf([own, 'c:write OR b:read'])]).toEqual([own, 200]);
    }
  });

  // Attack: a demand that nobody understands is passed over, and the gate is open.
  test.each([
    '',
    ' ',
    'AND',
    'or',
    'a:read AND',
    'OR a:read',
    'a:read AN c:write',
    'a:read AND c:write b:read',
    'a:read (c:write)',
    '()',
    '(a:read',
    'a:read)',
    'a:read,c:write',
    'a:read|c:write',
    'a:read || c:write',
    'a:read\tc:write',
    'NOT b:read',
    'a:read OR *',
    'a:read OR gatelodge.nonsense:read',
    `${'('.repeat(21)}a:read${')'.repeat(21)}`,
    `a:read${' OR a:read'.repeat(100)}`,
    `(a:read${' '.repeat(3072)})`,
  ])('%j closes the gate: 422', async (value) => {
    expect(await statusOf([value])).toBe(422);
    expect(await statusOf(['a:read', value])).toBe(422);
    expect(await statusOf([value, 'a:read OR a:read'])).toBe(422);
  });

  test('a fault tells its place and its fix, in the issuer’s dialect', async () => {
    const { body } = await issuer.authorize({ 'X-API-Key': key.secret }, '?scope=(a:read');
    expect(body).toMatchObject({ status: 422, code: 'invalid_request' });
    expect(body.detail).toBe('scope: at character 1: this ( is never closed; add a )');
  });
});
