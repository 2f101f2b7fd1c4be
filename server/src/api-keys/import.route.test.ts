import { createHash, randomBytes } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const customer = await createCustomer(server);
const { api } = customer;
const levels = await apiKeyLevels(api);
const issuerLevel = levels[1]!;
const live = { path: issuerLevel.path, issuerId: issuerLevel.issuerId! };

const newSecret = () => `old_${randomBytes(12).toString('hex')}`;
const sha256 = (secret: string, encoding: 'hex' | 'base64' | 'base64url' = 'hex') =>
  createHash('sha256').update(secret).digest(encoding);
const verify = async (secret: string, as = api) => (await as.post('/v1/keys/verify', { key: secret })).body;
const importTo = (path: string, keys: readonly object[], more: object = {}, as = api) =>
  as.post(`${path}/import`, { keys, ...more });

describe.each(levels)('an import to the $level', ({ level, path, issuerId, organizationId, scopes }) => {
  test('200: the key has the defaults of a creation, and verifies when the call returns', async () => {
    const secret = newSecret();
    const { result: answer, events } = await rows.eventsOf(() =>
      importTo(path, [{ hash: sha256(secret), prefix: 'old_' }]),
    );
    const { data } = answer.body;
    expect([answer.status, data]).toEqual([
      200,
      { imported: 1, conflicts: [], keys: [{ index: 0, id: expect.stringMatching(/^key_[0-9a-z]{25}$/) }] },
    ]);
    const [{ id }] = data.keys;
    const key = succeeded(await api.get(`${path}/${id}`)).body.data;
    expect(key).toMatchObject({
      issuer_id: issuerId,
      organization_id: organizationId,
      name: 'live key 2026-11-21',
      kind: 'secret',
      environment: 'live',
      status: 'active',
      hint: 'old_…',
      restrictions: { scopes, origins: [], browsers: 'allow', require_origin: false, ips: [] },
      rotation_due_at: '2027-02-19T12:00:00.000Z',
      created_by: { type: 'api_key', id: customer.key.id },
      imported: true,
    });
    expect(events).toMatchObject([
      {
        type: 'api-key.imported',
        account_id: customer.id,
        issuer_id: issuerId,
        organization_id: organizationId,
        subject_id: id,
        request_id: answer.headers.get('X-Request-Id'),
        data: { name: key.name, kind: 'secret', hint: 'old_…', import_batch: expect.stringMatching(/^imp_/) },
      },
    ]);
    expect(await verify(secret)).toMatchObject({ valid: true, code: 'VALID', key: { id } });
    expect((await verify(`${secret}x`)).code).toBe('NOT_FOUND');
  });

  test('200: takes everything that a creation takes', async () => {
    const secret = newSecret();
    const asked = {
      name: 'ci',
      description: 'for the build',
      environment: 'sandbox',
      restrictions: {
        scopes: ['invoices:read', 'invoices.lines:write'],
        origins: ['https://app.example', 'http://localhost:*'],
        browsers: 'allow',
        require_origin: true,
        ips: ['192.0.2.0/24', '2001:db8::/32'],
      },
      metadata: { team: 'a', 'nested "ü"': { n: [1, 2.5, null, '\\x00'] } },
    };
    const hash = sha256(secret, 'base64');
    const expiring = { ...asked, expires_at: '2026-12-24T18:00:00.5+01:00' };
    const answer = await importTo(path, [{ ...expiring, hash, encoding: 'base64', hint: 'of CI' }]);
    const [{ id }] = answer.body.data.keys;
    const key = succeeded(await api.get(`${path}/${id}`)).body.data;
    expect(key).toMatchObject({ ...asked, expires_at: '2026-12-24T17:00:00.500Z', hint: 'of CI' });
  });

  // Attack on ourselves: a key that is disabled where it comes from works here until somebody has disabled it again.
  test('200: a key that is disabled there is never anything else here', async () => {
    const secret = newSecret();
    const answer = await api.post(`${path}/import`, { keys: [{ hash: sha256(secret), enabled: false }] });
    const { id } = answer.body.data.keys[0];
    expect((await api.get(`${path}/${id}`)).body.data.status).toBe('disabled');
    expect((await api.post('/v1/keys/verify', { key: secret })).body.code).toBe('DISABLED');
    expect((await api.post(`${path}/${id}/enable`)).status).toBe(200);
    expect((await api.post('/v1/keys/verify', { key: secret })).body.code).toBe('VALID');
  });

  test('200: every spelling of a hash is the same hash', async () => {
    const secret = newSecret();
    const spellings = [
      { hash: sha256(secret) },
      { hash: sha256(secret).toUpperCase(), encoding: 'hex' },
      { hash: sha256(secret, 'base64'), encoding: 'base64' },
      { hash: sha256(secret, 'base64url'), encoding: 'base64' },
      { hash: `${sha256(secret, 'base64url')}=`, encoding: 'base64' },
    ];
    const duplicates = [1, 2, 3, 4].map((index) => ({ index, reason: 'duplicate_in_request' }));
    const first = await importTo(path, spellings);
    expect(first.body.data).toMatchObject({ imported: 1, conflicts: duplicates });
    const again = await importTo(path, spellings);
    expect(again.body.data).toEqual({
      imported: 0,
      conflicts: [{ index: 0, reason: 'already_imported' }, ...duplicates],
      keys: [],
    });
    expect((await verify(secret)).code).toBe('VALID');
  });

  test('200: a conflict leaves out its own key alone', async () => {
    const secrets = [newSecret(), newSecret(), newSecret()];
    const keys = secrets.map((secret) => ({ hash: sha256(secret) }));
    succeeded(await importTo(path, [keys[1]!]));
    const { data } = (await importTo(path, [...keys, keys[0]!])).body;
    expect(data.conflicts).toEqual([
      { index: 1, reason: 'already_imported' },
      { index: 3, reason: 'duplicate_in_request' },
    ]);
    expect(data.keys.map(({ index }: { index: number }) => index)).toEqual([0, 2]);
    for (const secret of secrets) expect((await verify(secret)).code).toBe('VALID');
  });

  test('200: a dry run says what an import would do, and does nothing', async () => {
    const known = { hash: sha256(newSecret()) };
    succeeded(await importTo(path, [known]));
    const secret = newSecret();
    const before = await rows.snapshot();
    const keys = [{ hash: sha256(secret) }, known];
    const { data } = (await importTo(path, keys, { dry_run: true })).body;
    const conflicts = [{ index: 1, reason: 'already_imported' }];
    expect(data).toEqual({ imported: 1, conflicts, keys: [] });
    expect(await rows.snapshot()).toEqual(before);
    expect((await verify(secret)).code).toBe('NOT_FOUND');
    expect((await importTo(path, keys)).body.data).toMatchObject({ imported: 1, conflicts });
  });

  test('200: under an Idempotency-Key it is imported once and answered twice', async () => {
    const body = { keys: [{ hash: sha256(newSecret()) }, { hash: sha256(newSecret()) }] };
    const ask = () => api.post(`${path}/import`, body, { 'Idempotency-Key': `import-${level}` });
    const [first, second] = [await ask(), await ask()];
    expect(second.headers.get('Idempotent-Replayed')).toBe('true');
    expect([second.status, second.text]).toEqual([200, first.text]);
    expect(first.body.data.imported).toBe(2);
  });

  test('200: a thousand keys are a handful of statements', async () => {
    const keys = Array.from({ length: 1_000 }, () => ({ hash: sha256(newSecret()), name: 'bulk' }));
    const from = server.statements.length;
    const { data } = succeeded(await importTo(path, keys)).body;
    expect(data.imported).toBe(1_000);
    expect(new Set(data.keys.map(({ id }: { id: string }) => id)).size).toBe(1_000);
    const statements = server.statements.slice(from).filter((sql) => !/lookup_|expire_/.test(sql));
    expect(statements.length).toBeLessThanOrEqual(12);
  });

  test('413: a body beyond 256 KiB', async () => {
    const keys = Array.from({ length: 1_000 }, () => ({ hash: sha256(newSecret()), name: 'x'.repeat(190) }));
    expect((await importTo(path, keys)).status).toBe(413);
  });
});

describe('422', () => {
  const errorsOf = async (keys: readonly object[], path = live.path) => {
    const before = await rows.snapshot();
    const answer = await importTo(path, keys);
    expect([answer.status, answer.body.code], answer.text).toEqual([422, 'invalid_request']);
    expect(await rows.snapshot()).toEqual(before);
    return answer.body.errors as { path: string; code: string; message: string }[];
  };
  const good = () => ({ hash: sha256(newSecret()) });

  test('tells every key that is wrong by its path, and imports none of the others', async () => {
    const errors = await errorsOf([
      good(),
      { hash: 'abc' },
      {},
      { ...good(), name: '' },
      { ...good(), encoding: 'base64' },
      { ...good(), restrictions: { origins: ['https://a.example/'] } },
      { ...good(), account_id: 'acc_x' },
      { hash: sha256('x', 'base64') },
      { ...good(), prefix: 'x'.repeat(41), hint: 'x'.repeat(65) },
      { ...good(), encoding: 'sha1' },
    ]);
    expect(errors.map(({ path, code }) => `${path} ${code}`)).toEqual([
      'keys[1].hash invalid_format',
      'keys[2].hash required',
      'keys[3].name too_small',
      'keys[4].hash invalid_format',
      'keys[5].restrictions.origins[0] invalid',
      'keys[6].account_id unknown_member',
      'keys[7].hash invalid_format',
      'keys[8].prefix too_big',
      'keys[8].hint too_big',
      'keys[9].encoding invalid_value',
    ]);
    expect(errors[6]!.message).toContain('base64');
  });

  test('holds each key to the rules of a creation', async () => {
    const past = { ...good(), expires_at: '2020-01-01T00:00:00Z' };
    const publishable = {
      ...good(),
      kind: 'publishable',
      restrictions: { scopes: ['gatelodge.events:read'] },
    };
    expect((await errorsOf([good(), past, publishable])).map(({ path }) => path)).toEqual([
      'keys[1].expires_at',
      'keys[2].restrictions.scopes[0]',
    ]);
    const many = await errorsOf(Array.from({ length: 80 }, () => ({ ...past, ...good() })));
    expect(many.length).toBe(50);
    const bench = await api.create('/v1/issuers', { name: 'bench', environment: 'sandbox' });
    const ofBench = await errorsOf([{ ...good(), environment: 'live' }], `/v1/issuers/${bench.id}/api-keys`);
    expect(ofBench).toMatchObject([{ path: 'keys[0].environment', code: 'wrong_environment' }]);
  });

  // Attack: somebody pastes whole secrets into what is stored and shown, and a reader of the list uses them.
  test('refuses the whole secret as prefix, hint, name or description', async () => {
    const secret = newSecret();
    for (const member of ['prefix', 'hint', 'name', 'description']) {
      const errors = await errorsOf([{ hash: sha256(secret), [member]: secret }]);
      expect(errors).toMatchObject([{ path: `keys[0].${member}`, code: 'contains_secret' }]);
      expect(JSON.stringify(errors)).not.toContain(secret);
    }
  });

  test('wants between 1 and 1,000 keys', async () => {
    expect(await errorsOf([])).toMatchObject([{ path: 'keys', code: 'too_small' }]);
    const many = Array.from({ length: 1_001 }, good);
    expect(await errorsOf(many)).toMatchObject([{ path: 'keys', code: 'too_big' }]);
  });
});

describe('403', () => {
  test('permission_denied: without the permission', async () => {
    const reader = await withScopes(api, ['gatelodge.api-keys:read']);
    const answer = await importTo(live.path, [{ hash: sha256(newSecret()) }], {}, reader);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  // Attack: power that the caller lacks, given to a key whose secret the caller knows already.
  test('permission_denied: nobody imports a key that may do more than they', async () => {
    const writer = await withScopes(api, ['gatelodge.api-keys:write', 'invoices:read']);
    const before = await rows.snapshot();
    const everything = { hash: sha256(newSecret()) };
    const events = { hash: sha256(newSecret()), restrictions: { scopes: ['gatelodge.events:read'] } };
    for (const keys of [[everything], [events]]) {
      const ownScopes = { hash: sha256(newSecret()), restrictions: { scopes: ['own:words'] } };
      const answer = await importTo('/v1/api-keys', [ownScopes, ...keys], {}, writer);
      expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
      expect(answer.body.detail).toContain('keys[1]');
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('wrong_environment: a sandbox caller imports sandbox keys only', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const [own, alien] = [newSecret(), newSecret()];
    const keys = [{ hash: sha256(own) }, { hash: sha256(alien), environment: 'live' }];
    const answer = await importTo('/v1/api-keys', keys, {}, sandbox);
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
    expect(await verify(own)).toMatchObject({ code: 'NOT_FOUND' });
    succeeded(await importTo('/v1/api-keys', [keys[0]!], {}, sandbox));
    expect(await verify(own)).toMatchObject({ code: 'VALID', environment: 'sandbox' });
  });
});

test('401 and 404: as everywhere', async () => {
  const keys = [{ hash: sha256(newSecret()) }];
  expect((await importTo(live.path, keys, {}, api.as(null))).status).toBe(401);
  const stranger = await createCustomer(server);
  expect((await importTo(live.path, keys, {}, stranger.api)).status).toBe(404);
});

// Attack: the same hash sent fifty times at once, under as many Idempotency-Keys or none: one key, or revoking the one
// that is shown leaves another alive.
test('fifty imports of one hash at the same moment make one key', async () => {
  const secret = newSecret();
  const keys = [{ hash: sha256(secret) }];
  const answers = await atOnce(50, () => importTo(live.path, keys));
  const data = answers.map(({ body }) => body.data);
  expect(data.filter(({ imported }) => imported === 1).length).toBe(1);
  const conflicts = data.filter(({ imported }) => imported === 0).map((each) => each.conflicts);
  expect(conflicts).toEqual(Array.from({ length: 49 }, () => [{ index: 0, reason: 'already_imported' }]));
  const { id } = data.flatMap((each) => each.keys)[0];
  succeeded(await api.post(`${live.path}/${id}/revoke`));
  expect((await verify(secret)).code).toBe('REVOKED');
});

describe('an imported key', () => {
  const importOne = async (members: object = {}) => {
    const secret = newSecret();
    const { data } = succeeded(await importTo(live.path, [{ hash: sha256(secret), ...members }])).body;
    const { id } = data.keys[0];
    return { secret, id, path: `${live.path}/${id}` };
  };
  const authorize = (secret: string, headers: Record<string, string> = {}) =>
    api.as(null).get(`/v1/authorize/${live.issuerId}`, { 'X-API-Key': secret, ...headers });

  test('is listed, changed, disabled, enabled, revoked and deleted like any other', async () => {
    const { secret, id, path } = await importOne({ name: 'old billing' });
    expect((await verify(secret)).code).toBe('VALID');
    const listed = succeeded(await api.get(`${live.path}?search=old%20billing`)).body.data;
    expect(listed).toMatchObject([{ id, imported: true, hint: 'imported…' }]);
    const renamed = await api.patch(path, { name: 'new', restrictions: { scopes: ['invoices:read'] } });
    expect(succeeded(renamed).body.data).toMatchObject({ name: 'new', imported: true });
    expect(await verify(secret)).toMatchObject({ key: { name: 'new' }, scopes: ['invoices:read'] });
    for (const [action, code] of [
      ['disable', 'DISABLED'],
      ['enable', 'VALID'],
      ['revoke', 'REVOKED'],
    ] as const) {
      succeeded(await api.post(`${path}/${action}`));
      expect((await verify(secret)).code).toBe(code);
    }
    succeeded(await api.delete(path));
    expect((await verify(secret)).code).toBe('NOT_FOUND');
    // What is gone may come back.
    expect((await importTo(live.path, [{ hash: sha256(secret) }])).body.data.imported).toBe(1);
    expect((await verify(secret)).code).toBe('VALID');
  });

  test('is rotated into a key of ours, and both work until the grace ends', async () => {
    const { secret, path } = await importOne({ restrictions: { scopes: ['invoices:read'] } });
    const rotated = succeeded(await api.post(`${path}/rotate`, { grace_seconds: 3_600 })).body.data;
    expect(rotated).toMatchObject({ imported: false, restrictions: { scopes: ['invoices:read'] } });
    expect((await verify(rotated.secret_plain)).code).toBe('VALID');
    expect((await verify(secret)).code).toBe('VALID');
    clock.advance(3_601);
    expect((await verify(secret)).code).toBe('EXPIRED');
    expect((await verify(rotated.secret_plain)).code).toBe('VALID');
    clock.advance(-3_601);
  });

  test('keeps to its expiry, scopes and origins, and passes a gateway', async () => {
    const { secret, id } = await importOne({
      expires_at: '2026-11-22T12:00:00Z',
      restrictions: { scopes: ['invoices:read'], origins: ['https://app.example'] },
    });
    const passed = await authorize(secret, { Origin: 'https://app.example' });
    expect([passed.status, passed.headers.get('X-Gatelodge-Key-Id')]).toEqual([200, id]);
    expect((await authorize(secret, { Origin: 'https://evil.example' })).status).toBe(403);
    const lacking = await api.post('/v1/keys/verify', { key: secret, scopes: ['invoices:write'] });
    expect(lacking.body.code).toBe('INSUFFICIENT_SCOPE');
    clock.advance(2 * 86_400);
    expect((await verify(secret)).code).toBe('EXPIRED');
    expect((await authorize(secret)).status).toBe(401);
    clock.advance(-2 * 86_400);
  });

  // Attack: whoever knows a hash that leaked elsewhere shows it instead of the secret; or somebody brings an imported
  // key, which another system has made and perhaps lost, to manage the account.
  test('is taken by verify and authorize alone, and its hash by nobody', async () => {
    const secret = newSecret();
    const hash = sha256(secret);
    const { data } = succeeded(await importTo('/v1/api-keys', [{ hash }])).body;
    const [{ id }] = data.keys;
    expect((await verify(secret)).code).toBe('VALID');
    for (const shown of [hash, sha256(secret, 'base64')])
      expect((await verify(shown)).code).toBe('NOT_FOUND');
    for (const path of ['/v1/account', '/v1/api-keys', '/v1/me', '/v1/events']) {
      for (const caller of [
        await api.as({ id, secret }).get(path),
        await api.as(null).get(path, { Authorization: `Bearer ${secret}` }),
        await api.as(null).get(path, { 'X-API-Key': secret }),
      ]) {
        expect([401, 'missing_key invalid_key'.split(' ').includes(caller.body.code)], path).toEqual([
          401,
          true,
        ]);
      }
    }
    const asCaller = await api.as({ id, secret }).post('/v1/keys/verify', { key: secret });
    expect(asCaller.status).toBe(401);
    // An account's key is no key of an issuer.
    expect((await authorize(secret)).status).toBe(401);
  });

  test('of any printable ASCII passes in a key header; a bearer token that looks like a JWT stays one', async () => {
    const every = Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index)).join('');
    const jwt = `eyJhbGciOiJub25lIn0.${randomBytes(8).toString('hex')}.`;
    const keys = [every, jwt, 'a,b;c="d"'].map((secret) => ({ hash: sha256(secret) }));
    expect((await importTo(live.path, keys)).body.data.imported).toBe(3);
    for (const secret of [every, jwt, 'a,b;c="d"']) {
      expect((await authorize(secret)).status, secret).toBe(200);
      expect((await verify(secret)).code).toBe('VALID');
    }
    const bearer = (secret: string) =>
      api.as(null).get(`/v1/authorize/${live.issuerId}`, { Authorization: `Bearer ${secret}` });
    expect((await bearer(every)).status).toBe(200);
    expect((await bearer(jwt)).status).toBe(401);
  });
});

// Attack: an account imports hashes to learn which keys another one has, or to have a say over them.
describe('the same hash in two accounts', () => {
  test('is a key of each, apart, and neither hears of the other', async () => {
    const secret = newSecret();
    const keys = [{ hash: sha256(secret) }];
    const other = await createCustomer(server);
    const first = succeeded(await importTo('/v1/api-keys', keys)).body.data;
    const second = succeeded(await importTo('/v1/api-keys', keys, {}, other.api)).body.data;
    expect([first, second]).toMatchObject(Array(2).fill({ imported: 1, conflicts: [] }));
    expect((await verify(secret)).key.id).toBe(first.keys[0].id);
    expect((await verify(secret, other.api)).key.id).toBe(second.keys[0].id);

    succeeded(await api.post(`/v1/api-keys/${first.keys[0].id}/revoke`));
    expect((await verify(secret)).code).toBe('REVOKED');
    expect((await verify(secret, other.api)).code).toBe('VALID');
    succeeded(await other.api.delete(`/v1/api-keys/${second.keys[0].id}`));
    expect((await verify(secret, other.api)).code).toBe('NOT_FOUND');
    expect((await verify(secret)).code).toBe('REVOKED');
  });
});

// Attack: a dump of the database, with which somebody tries the hashes that leaked elsewhere.
test('the hash stands nowhere: not in the row, its event, the idempotency record or the log', async () => {
  const secret = newSecret();
  const hash = sha256(secret);
  const headers = { 'Idempotency-Key': 'where-is-the-hash' };
  succeeded(await api.post(`${live.path}/import`, { keys: [{ hash, prefix: 'old_' }] }, headers));
  const tables = ['api_keys', 'events', 'idempotency_records'].map(
    (table) => `select to_jsonb(t)::text as row from ${table} t`,
  );
  const dump = JSON.stringify(await rows.query(tables.join(' union all ')));
  expect(dump).toContain('old_…');
  const log = server.logLines.join('\n');
  for (const text of [hash, sha256(secret, 'base64'), sha256(secret, 'base64url'), secret]) {
    expect(dump).not.toContain(text);
    expect(log).not.toContain(text);
  }
});
