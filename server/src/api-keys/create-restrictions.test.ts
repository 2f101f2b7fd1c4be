import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

// How restrictions come in. What they then allow is tested with verification.

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const levels = await apiKeyLevels(api);
const [, { path }] = levels as [unknown, { path: string }];

const refused = async (restrictions: unknown) => {
  const before = await rows.snapshot();
  const answer = await api.post(path, { restrictions });
  expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  expect(await rows.snapshot()).toEqual(before);
  return answer.body.errors as { path: string; message: string; code: string }[];
};

describe('origins', () => {
  test.each([
    ['https://myapp.com/', 'remove the trailing slash', 'https://myapp.com'],
    ['myapp.com', 'scheme', 'https://myapp.com'],
    ['localhost:3000', 'scheme', 'http://localhost:3000'],
    ['https://myapp.com/path', 'path', 'https://myapp.com'],
    ['https://MyApp.com', 'lower case', 'https://myapp.com'],
    ['https://myapp.com:443', 'default port', 'https://myapp.com'],
    ['*.myapp.com', 'wildcard', null],
    ['https://*.myapp.com', 'wildcard', null],
    ['https://myapp.com:*', 'port', null],
    ['*', 'empty', null],
    ['null', 'remove', null],
    ['ftp://myapp.com', 'http', null],
    ['https://user:pass@myapp.com', 'user', null],
    ['', 'scheme', null],
  ])('%j is refused: %s, with the corrected form %s', async (origin, says, correction) => {
    const errors = await refused({ origins: ['https://fine.example', origin] });
    expect(errors.map((error) => error.path)).toEqual(['restrictions.origins[1]']);
    expect(errors[0]!.message).toContain(says);
    if (correction !== null) expect(errors[0]!.message.endsWith(`: ${correction}`)).toBe(true);
  });

  test('each bad entry has an error of its own', async () => {
    const errors = await refused({ origins: ['https://a.example/', 'https://fine.example', 'b.example'] });
    expect(errors.map((error) => error.path)).toEqual(['restrictions.origins[0]', 'restrictions.origins[2]']);
  });

  test('a wildcard port on loopback is taken', async () => {
    const origins = ['http://localhost:*', 'http://127.0.0.1:*', 'http://[::1]:*', 'http://localhost:3000'];
    for (const { path } of levels)
      expect((await api.create(path, { restrictions: { origins } })).restrictions.origins).toEqual(origins);
  });

  test('doubles are dropped, and a hundred entries are enough', async () => {
    const twice = ['https://a.example', 'https://a.example'];
    expect((await api.create(path, { restrictions: { origins: twice } })).restrictions.origins).toEqual([
      'https://a.example',
    ]);
    const many = Array.from({ length: 101 }, (_, index) => `https://a${index}.example`);
    expect(
      (await api.create(path, { restrictions: { origins: many.slice(1) } })).restrictions.origins,
    ).toEqual(many.slice(1));
    expect((await refused({ origins: many }))[0]!.path).toBe('restrictions.origins');
  });
});

describe('IP ranges', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1/32'],
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['2001:DB8:0::1', '2001:db8::1/128'],
    ['::ffff:192.0.2.1', '192.0.2.1/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('%s is kept as %s', async (range, kept) => {
    const key = await api.create(path, { restrictions: { ips: [range, kept] } });
    expect(key.restrictions.ips).toEqual([kept]);
  });

  test.each([
    '192.0.2.1/24',
    '192.0.2',
    '192.0.2.01',
    '192.0.2.0/33',
    '::1%eth0',
    'localhost',
    '',
    '10.0.0.0/',
  ])('%j is refused', async (range) => {
    const errors = await refused({ ips: [range] });
    expect(errors.map((error) => error.path)).toEqual(['restrictions.ips[0]']);
  });
});

describe('scopes', () => {
  test('product scopes are the account’s own words, in the order they came and each once', async () => {
    const scopes = ['invoices:write', 'Invoices.Lines:read', 'invoices:write'];
    expect((await api.create(path, { restrictions: { scopes } })).restrictions.scopes).toEqual(
      scopes.slice(0, 2),
    );
  });

  test.each([
    'invoices',
    'invoices:',
    ':read',
    'a.b.c:read',
    'invoices:read:all',
    'in voices:read',
    '*:*',
    '*',
    'x'.repeat(65).concat(':read'),
    // The attack: a permission in a spelling that the ceiling does not know.
    'gatelodge.api-keys:admin',
    'GATELODGE.api-keys:write',
    'Keys:Verify',
    'gatelodge:all',
  ])('%j is refused', async (scope) => {
    const errors = await refused({ scopes: ['fine:read', scope] });
    expect(errors.map((error) => error.path)).toEqual(['restrictions.scopes[1]']);
  });
});

test('members of the wrong type are refused', async () => {
  expect((await refused({ origins: 'https://a.example' }))[0]!.path).toBe('restrictions.origins');
  expect((await refused({ ips: [1] }))[0]!.path).toBe('restrictions.ips[0]');
  expect((await refused({ browsers: 'warn' }))[0]!.path).toBe('restrictions.browsers');
  expect((await refused({ require_origin: 'true' }))[0]!.path).toBe('restrictions.require_origin');
});

describe('a publishable key', () => {
  const create = async (body: Record<string, unknown>, issuer: Record<string, unknown> = {}) => {
    const { id } = await api.create('/v1/issuers', {
      name: 'x',
      publishable_scopes: ['posts:read'],
      ...issuer,
    });
    return api.post(`/v1/issuers/${id}/api-keys`, { kind: 'publishable', ...body });
  };

  test('201: has the scopes that are marked publishable, and no others', async () => {
    const answer = await create({ restrictions: { scopes: ['posts:read'] } });
    expect(answer.status).toBe(201);
    expect(answer.body.data).toMatchObject({ kind: 'publishable', restrictions: { scopes: ['posts:read'] } });
    expect(answer.body.data.secret_plain).toMatch(/^gl_live_pk_/);
    expect((await create({})).body.data.restrictions.scopes).toEqual([]);
  });

  test.each([
    [['posts:write'], 0],
    [['posts:read', 'posts:write'], 1],
    // The attack: a key that stands in every page’s source and manages the account.
    [['gatelodge.api-keys:write'], 0],
    [['keys:verify'], 0],
  ])('422: never %j', async (scopes, at) => {
    const answer = await create({ restrictions: { scopes } });
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toEqual([
      expect.objectContaining({ path: `restrictions.scopes[${at}]`, code: 'not_publishable' }),
    ]);
  });

  test('422: not of an account', async () => {
    const answer = await api.post('/v1/api-keys', { kind: 'publishable' });
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toEqual([expect.objectContaining({ path: 'kind', code: 'not_publishable' })]);
  });

  test('may still be renamed once its issuer has unmarked a scope of it', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x', publishable_scopes: ['posts:read'] });
    const key = await createKey(api, `/v1/issuers/${id}/api-keys`, {
      kind: 'publishable',
      restrictions: { scopes: ['posts:read'] },
    });
    await api.patch(`/v1/issuers/${id}`, { publishable_scopes: [] });
    const renamed = await api.patch(key.path, {
      name: 'renamed',
      restrictions: { origins: ['https://a.example'] },
    });
    expect([renamed.status, renamed.body.data?.name]).toEqual([200, 'renamed']);
    expect((await api.patch(key.path, { restrictions: { scopes: ['posts:read'] } })).status).toBe(422);
    expect((await api.patch(key.path, { restrictions: { scopes: [] } })).status).toBe(200);
  });
});

// Attack: keys with restrictions as large as they come fill the memory of every node that verifies them, and a header
// of scopes that no client takes breaks whoever stands behind a gateway.
describe('the size of restrictions', () => {
  const manyOf = (count: number, entry: (number: number) => string) =>
    Array.from({ length: count }, (_, index) => entry(index + 1000));
  const scopesOf = (length: number) => manyOf(length / 128, (n) => `${'s'.repeat(62)}:${'a'.repeat(60)}${n}`);

  test('is at most 3 KiB of scopes', async () => {
    const [error, ...others] = await refused({ scopes: scopesOf(4096) });
    expect([error?.path, others]).toEqual(['restrictions.scopes', []]);
    const key = await createKey(api, path, { restrictions: { scopes: scopesOf(3072) } });
    const answer = await api.patch(key.path, { restrictions: { scopes: scopesOf(4096) } });
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, 'restrictions.scopes']);
  });

  test('is at most 8 KiB of everything, also where a change adds to what is there', async () => {
    const origins = manyOf(50, (n) => `https://${'o'.repeat(60)}.${n}.example`);
    const ips = manyOf(100, (n) => `2001:db8:1111:2222:3333:4444:5555:${n}/128`);
    const [error, ...others] = await refused({ scopes: scopesOf(2048), origins, ips });
    expect([error?.path, others]).toEqual(['restrictions', []]);
    const key = await createKey(api, path, { restrictions: { scopes: scopesOf(2048), origins } });
    const answer = await api.patch(key.path, { restrictions: { ips } });
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, 'restrictions']);
  });
});
