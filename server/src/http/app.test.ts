import { afterAll, describe, expect, test } from 'vitest';
import { withScopes } from '../../test/harness/customer.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { errorTable } from '../errors.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = server.operator;

describe('404', () => {
  test.each([
    '/v1',
    '/v2/issuers',
    '/V1/issuers',
    '/v1/issuers/x/y/z',
    '//v1/issuers',
    '/v1//issuers',
    '/v1/issuers;a=b',
    '/v1/.',
    '/index.php',
    `/v1/issuers/${'x'.repeat(65)}`,
  ])('%s is no route of ours, with a key or without', async (path) => {
    for (const caller of [api, api.as(null)]) {
      const answer = await caller.get(path);
      expect([answer.status, answer.body.code]).toEqual([404, 'route_not_found']);
      expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
    }
  });
});

describe('400', () => {
  test.each(['/v1/issuers/%zz', '/v1/issuers/%', '/v1/issuers/%e0%a4%a'])(
    '%s cannot be decoded, and is told so in the form of all errors',
    async (path) => {
      const answer = await send(server.url + path);
      expect([answer.status, answer.body.code]).toEqual([400, 'bad_request']);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(answer.headers['x-request-id']).toBe(answer.body.request_id);
      expect(answer.text).not.toContain('%');
    },
  );
});

describe('405', () => {
  test.each([
    ['POST', '/v1/me', 'GET, HEAD'],
    ['GET', '/v1/keys/verify', 'POST'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['DELETE', '/openapi.json', 'GET, HEAD'],
    ['POST', '/', 'GET, HEAD'],
  ])('%s %s names what it does answer: %s', async (method, path, allow) => {
    const answer = await api.request(method, path);
    expect([answer.status, answer.headers.get('Allow')]).toEqual([405, allow]);
  });
});

describe('an error', () => {
  test('is a problem of RFC 9457 with the row of its code in the table', async () => {
    const answer = await api.as(null).get('/v1/issuers', { 'X-Request-Id': 'mine' });
    expect(answer.body).toEqual({
      type: 'http://localhost:4600/docs/errors/missing_key',
      title: errorTable.missing_key.title,
      status: 401,
      detail: errorTable.missing_key.detail,
      code: 'missing_key',
      request_id: 'mine',
    });
    expect(answer.headers.get('X-Request-Id')).toBe('mine');
    expect(answer.headers.get('Cache-Control')).toBe('no-store');
    expect(answer.headers.get('X-Content-Type-Options')).toBe('nosniff');
  });

  test('of validation lists every fault', async () => {
    const answer = await api.post('/v1/issuers', { name: '', environment: 'test', owner: 'x' });
    expect(answer.body.errors.map(({ path }: { path: string }) => path).sort()).toEqual([
      'environment',
      'name',
      'owner',
    ]);
    expect(answer.body.detail).toMatch(/^[a-z]+: [^(]+ \(and 2 more: see errors\)$/);
    for (const error of answer.body.errors)
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'path']);
  });
});

describe('X-Request-Id', () => {
  test.each(['a', 'req_1', '9f:8.7-x', 'a.'.repeat(64)])('%s is taken from the caller', async (id) => {
    expect((await api.get('/v1/account', { 'X-Request-Id': id })).headers.get('X-Request-Id')).toBe(id);
  });

  test.each(['', 'a b', '<script>', '-x', 'x'.repeat(129), 'é', '{"a":1}'])(
    // The attack: text of somebody's choosing in logs, events and answers.
    '%j is not, and one is made',
    async (id) => {
      const answer = await send(`${server.url}/v1/nothing`, { headers: { 'X-Request-Id': id } });
      expect(answer.headers['x-request-id']).toMatch(/^req_[0-9a-z]{25}$/);
    },
  );
});

describe('a body-less request that says application/json is accepted', () => {
  test('on GET, DELETE and actions', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    const headers = { 'Content-Type': 'application/json' };
    expect((await api.get(`/v1/issuers/${id}`, headers)).status).toBe(200);
    expect((await api.request('POST', `/v1/issuers/${id}/suspend`, { headers })).status).toBe(200);
    expect((await api.request('POST', `/v1/issuers/${id}/activate`)).status).toBe(200);
    expect((await api.delete(`/v1/issuers/${id}`, headers)).status).toBe(204);
  });

  test('and a creation that needs nothing needs no body either', async () => {
    expect((await api.request('POST', '/v1/api-keys')).status).toBe(201);
  });
});

test('a merge patch may be called one', async () => {
  const { id } = await api.create('/v1/issuers', { name: 'x' });
  const { key } = server.operator;
  for (const type of [
    'application/merge-patch+json',
    'application/json; charset=utf-8',
    'Application/JSON',
  ]) {
    const answer = await send(`${server.url}/v1/issuers/${id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': type, Authorization: `Bearer ${key.secret}` },
      body: '{"name":"y"}',
    });
    expect([type, answer.status]).toEqual([type, 200]);
  }
});

describe('401 and 403 for the caller’s own key', () => {
  const path = '/v1/api-keys';

  test.each([
    ['revoke', 'revoked_key'],
    ['disable', 'disabled_key'],
  ])('%s: the very next request is refused with %s', async (verb, code) => {
    const key = await createKey(api, path);
    expect((await api.as(key).get(path)).status).toBe(200);
    succeeded(await api.post(`${key.path}/${verb}`));
    const answer = await api.as(key).get(path);
    expect([answer.status, answer.body.code]).toEqual([401, code]);
    expect(answer.headers.get('X-Environment')).toBe('LIVE');
  });

  test('a deleted key is one that never was', async () => {
    const key = await createKey(api, path);
    expect((await api.as(key).get(path)).status).toBe(200);
    succeeded(await api.delete(key.path));
    const answer = await api.as(key).get(path);
    expect([answer.status, answer.body.code]).toEqual([401, 'invalid_key']);
  });

  test('its restrictions hold here too', async () => {
    const elsewhere = await createKey(api, path, { restrictions: { ips: ['192.0.2.0/24'] } });
    const fromPage = await createKey(api, path, { restrictions: { origins: ['https://app.example'] } });
    const noBrowser = await createKey(api, path, { restrictions: { browsers: 'deny' } });
    const ask = async (key: typeof elsewhere, headers: Record<string, string> = {}) =>
      (await api.as(key).get(path, headers)).body.code;
    expect(await ask(elsewhere)).toBe('ip_not_allowed');
    expect(await ask(fromPage, { Origin: 'https://evil.example' })).toBe('origin_not_allowed');
    expect(await ask(fromPage, { Origin: 'https://app.example' })).toBeUndefined();
    expect(await ask(noBrowser, { Origin: 'https://app.example' })).toBe('origin_not_allowed');
  });

  test('a publishable key never manages anything', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x', publishable_scopes: ['posts:read'] });
    const key = await createKey(api, `/v1/issuers/${id}/api-keys`, {
      kind: 'publishable',
      restrictions: { scopes: ['posts:read'] },
    });
    const answer = await api.as(key).get('/v1/events');
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  test.each([
    ['Basic without a colon', 'Basic Zm9v', 'invalid_key'],
    ['another scheme', 'Digest x', 'invalid_key'],
    ['an empty bearer', 'Bearer ', 'invalid_key'],
    ['a JWT', 'Bearer eyJhbGciOiJub25lIn0.e30.', 'invalid_key'],
  ])('%s is refused', async (_name, authorization, code) => {
    const answer = await api.as(null).get('/v1/issuers', { Authorization: authorization });
    expect([answer.status, answer.body.code]).toEqual([401, code]);
  });

  test('two different keys are ambiguous', async () => {
    const key = await createKey(api, path);
    const headers = {
      Authorization: [`Bearer ${key.secret}`, `Bearer ${server.operator.key.secret}`],
    };
    const answer = await send(`${server.url}/v1/issuers`, { headers });
    expect([answer.status, answer.body.code]).toEqual([401, 'ambiguous_credentials']);
  });
});

describe('X-Environment', () => {
  test('is that of the key that decided, in the words of its issuer', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x', environment: 'sandbox' });
    succeeded(
      await api.put(`/v1/issuers/${id}/key-profile`, { environments: { sandbox: { label: 'TEST' } } }),
    );
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const ofIssuer = await withScopes(api, ['gatelodge.issuers:read'], `/v1/issuers/${id}/api-keys`);
    expect((await api.get('/v1/account')).headers.get('X-Environment')).toBe('LIVE');
    expect((await sandbox.get('/v1/account')).headers.get('X-Environment')).toBe('SANDBOX');
    expect((await ofIssuer.get(`/v1/issuers/${id}`)).headers.get('X-Environment')).toBe('TEST');
    expect((await ofIssuer.get('/v1/account')).headers.get('X-Environment')).toBe('TEST');
  });

  test('of an unknown key is the one that its prefix names', async () => {
    const made = `gl_sandbox_sk_${'x'.repeat(44)}`;
    const answer = await api.as(null).get('/v1/account', { Authorization: `Bearer ${made}` });
    expect([answer.status, answer.headers.get('X-Environment')]).toEqual([401, 'SANDBOX']);
  });
});

test('each request is logged once, by its route and not by its path, and counted', async () => {
  const { id } = await api.create('/v1/issuers', { name: 'x' });
  const from = server.logLines.length;
  await api.get(`/v1/issuers/${id}`, { 'X-Request-Id': 'logged-1' });
  const lines = server.logLines.slice(from).map((line) => JSON.parse(line));
  expect(lines.filter(({ request_id }) => request_id === 'logged-1')).toMatchObject([
    {
      message: 'request',
      method: 'GET',
      route: '/v1/issuers/:issuer_id',
      status: 200,
      account_id: server.operator.accountId,
      key_id: server.operator.key.id,
    },
  ]);
  const metrics = await server.running.services.metrics.render();
  expect(metrics).toMatch(
    /gatelodge_http_request_duration_seconds_count\{method="GET",route="\/v1\/issuers\/:issuer_id",status="200"\} [1-9]/,
  );
});

test('the line of a refused request has the code, and the first member that is wrong, without its value', async () => {
  const lineOf = async (sending: () => Promise<{ headers: Headers }>) => {
    const from = server.logLines.length;
    const { headers } = await sending();
    const lines = server.logLines.slice(from).map((line) => JSON.parse(line));
    const line = lines.find(({ request_id: id }) => id === headers.get('X-Request-Id'));
    return [line.status, line.code, line.field];
  };
  const { id } = await api.create('/v1/issuers', { name: 'x' });
  const client = { name: 'a-value', settings: { openid: { grant_types: ['a-value'] } } };
  expect(await lineOf(() => api.post(`/v1/issuers/${id}/clients`, client))).toEqual([
    422,
    'invalid_request',
    expect.stringMatching(/^(type|settings\.openid\.\S+)$/),
  ]);
  expect(await lineOf(() => api.post('/v1/issuers', { name: 'x', nmae: 'y' }))).toEqual([
    422,
    'invalid_request',
    undefined,
  ]);
  // Somebody may have put there whatever is no name at all.
  expect(await lineOf(() => api.post('/v1/issuers', { name: 'x', 'ada@example.com': 1 }))).toEqual([
    422,
    'invalid_request',
    undefined,
  ]);
  expect(await lineOf(() => api.get(`/v1/issuers/${newId(idPrefixes.issuer)}`))).toEqual([
    404,
    'not_found',
    undefined,
  ]);
  expect(await lineOf(() => api.as(null).get('/v1/account'))).toEqual([401, expect.any(String), undefined]);
  expect(await lineOf(() => api.get('/v1/nothing'))).toEqual([404, 'route_not_found', undefined]);
});

test('a method that a path does not take is answered with those that it does', async () => {
  const { status, body, headers } = await api.put('/v1/issuers', {});
  const allow = headers.get('Allow')!;
  expect([status, allow.split(', ').toSorted()]).toEqual([405, ['GET', 'HEAD', 'POST']]);
  expect(body.detail).toBe(`This route does not answer that method; it answers ${allow}.`);
});
