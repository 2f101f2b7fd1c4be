import { describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../ids/ids.ts';
import { type EdgeEndpoint, isRawEndpoint, type RawEndpoint } from './edge.ts';
import type { EdgeInfo } from './request-info.ts';
import { RuntimeRoutes } from './runtime-routes.ts';

const endpoint = (name: string): EdgeEndpoint => ({
  handle: () => Promise.resolve({ status: 200, body: name }),
});

const routes = new RuntimeRoutes([
  { path: '/jwks.json', issuer: 'required', methods: { GET: endpoint('jwks') }, isPublic: true },
  { path: '/auth/me', issuer: 'optional', methods: { GET: endpoint('me') } },
  { path: '/auth/refresh', issuer: 'optional', methods: { POST: endpoint('refresh') } },
]);
const issuer = newId(idPrefixes.issuer);

/** What is answered: the endpoint's name, the error's code, or the headers of OPTIONS; null where nobody answers. */
async function answerOf(found: EdgeEndpoint | RawEndpoint | null): Promise<string | null> {
  if (found === null) return null;
  if (isRawEndpoint(found)) return 'raw';
  const headers: string[] = [];
  const answer = await found.handle({} as never, { id: 'req_1' } as EdgeInfo, headers).then(
    ({ status, body }) => body ?? String(status),
    (error: { code: string; headers: Record<string, string> }) =>
      `${error.code} ${error.headers.Allow ?? ''}`,
  );
  return [answer.trim(), ...headers.filter((_, at) => headers[at - 1] === 'Allow')].join(' ');
}

test.each([
  ['GET', `/${issuer}/jwks.json`, 'jwks'],
  ['HEAD', `/${issuer}/jwks.json`, 'jwks'],
  ['OPTIONS', `/${issuer}/jwks.json`, '204 GET, HEAD, OPTIONS'],
  ['POST', `/${issuer}/jwks.json`, 'method_not_allowed GET, HEAD, OPTIONS'],
  ['GET', '/auth/me', 'me'],
  ['GET', `/${issuer}/auth/me`, 'me'],
  ['POST', '/auth/refresh', 'refresh'],
  ['POST', `/${issuer}/auth/refresh`, 'refresh'],
  // What is no GET has no HEAD either.
  ['HEAD', '/auth/refresh', 'method_not_allowed POST, OPTIONS'],
  ['GET', '/auth/refresh', 'method_not_allowed POST, OPTIONS'],
  ['OPTIONS', '/auth/refresh', '204 POST, OPTIONS'],
  ['post', '/auth/refresh', 'method_not_allowed POST, OPTIONS'],
  ['constructor', '/auth/refresh', 'method_not_allowed POST, OPTIONS'],
  ['POST', '/i_x/auth/refresh', 'not_found'],
  ['POST', '//auth/refresh', 'not_found'],
  ['POST', '/v1/auth/refresh', 'not_found'],
  ['POST', '/auth/refresh/', null],
  ['POST', '/AUTH/refresh', null],
  ['POST', '/auth/auth/refresh', null],
  ['POST', `/auth/${issuer}/refresh`, null],
  ['POST', `/${issuer}/${issuer}/auth/refresh`, null],
  ['GET', '/jwks.json', null],
  ['GET', '/auth/jwks.json', null],
  ['GET', '/auth', null],
  ['GET', '/', null],
] as const)('%s %s is answered by %s', async (method, path, expected) => {
  expect(await answerOf(routes.find(method, path))).toBe(expected);
});

describe('a preflight', () => {
  test('of what is public is told yes, of the rest by the keys that there are', async () => {
    expect(await answerOf(routes.findPreflight(`/${issuer}/jwks.json`))).toBe('204');
    for (const path of ['/auth/me', `/${issuer}/auth/me`, '/jwks.json', '/nothing'])
      expect(routes.findPreflight(path)).toBeNull();
  });
});
