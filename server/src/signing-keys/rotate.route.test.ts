import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { everyPermission } from '../../test/harness/tenant.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import { jwksMaxAgeSeconds } from './signing-key.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const leadSeconds = jwksMaxAgeSeconds + 30 + 600;

async function createIssuer(members: Record<string, unknown> = {}): Promise<{ id: string; path: string }> {
  const { id } = await api.create('/v1/issuers', { name: 'Acme API', ...members });
  return { id, path: `/v1/issuers/${id}/signing-keys` };
}

const keysOf = async (path: string) => (await api.get(path)).body.data;
const after = (seconds: number) => new Date(clock.nowMs() + seconds * 1000).toISOString();

describe('201', () => {
  test('publishes a key that takes over once nobody holds an older key set, and ends the one before it', async () => {
    const issuer = await createIssuer();
    const [first] = await keysOf(issuer.path);
    const { result: answer, events } = await rows.eventsOf(() => api.post(`${issuer.path}/rotate`, {}));
    expect(answer.status).toBe(201);
    const { data } = answer.body;
    expect(data).toEqual({
      id: expect.stringMatching(/^sig_[0-9a-z]{25}$/),
      issuer_id: issuer.id,
      algorithm: 'ES256',
      status: 'upcoming',
      public_key: {
        kty: 'EC',
        crv: 'P-256',
        x: expect.any(String),
        y: expect.any(String),
        kid: data.id,
        use: 'sig',
        alg: 'ES256',
      },
      created_at: after(0),
      activates_at: after(leadSeconds),
      retires_at: null,
      expires_at: null,
    });
    expect(leadSeconds).toBeGreaterThan(jwksMaxAgeSeconds);
    expect(answer.headers.get('Location')).toBe(`${issuer.path}/${data.id}`);
    const read = await api.get(`${issuer.path}/${data.id}`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([data, answer.headers.get('ETag')]);
    const [, old] = await keysOf(issuer.path);
    expect(old).toEqual({
      ...first,
      status: 'current',
      retires_at: data.activates_at,
      expires_at: after(leadSeconds + longestTokenSeconds + 600),
    });
    const told = {
      account_id: expect.any(String),
      issuer_id: issuer.id,
      environment: 'live',
      actor: { id: key.id },
    };
    expect(events).toMatchObject([
      {
        type: 'signing-key.rotated',
        subject_type: 'signing_key',
        subject_id: first.id,
        ...told,
        data: { successor_id: data.id, retires_at: data.activates_at, expires_at: old.expires_at },
      },
      {
        type: 'signing-key.created',
        subject_type: 'signing_key',
        subject_id: data.id,
        ...told,
        data: { algorithm: 'ES256', activates_at: data.activates_at, predecessor_id: first.id },
      },
    ]);
  });

  test.each([
    ['EdDSA', { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA' }],
    ['RS256', { kty: 'RSA', e: 'AQAB', alg: 'RS256' }],
    ['ES256', { kty: 'EC', crv: 'P-256', alg: 'ES256' }],
  ])('of %s, which the next one keeps unless told otherwise', async (algorithm, publicKey) => {
    const issuer = await createIssuer();
    const made = (await api.post(`${issuer.path}/rotate`, { algorithm })).body.data;
    expect(made).toMatchObject({ algorithm, public_key: publicKey });
    if (algorithm === 'RS256') expect(Buffer.from(made.public_key.n, 'base64url').length).toBe(256);
    clock.advance(leadSeconds);
    expect((await api.post(`${issuer.path}/rotate`, {})).body.data.algorithm).toBe(algorithm);
  });

  test('a key whose time is over goes with the next rotation', async () => {
    const issuer = await createIssuer();
    const [first] = await keysOf(issuer.path);
    await api.create(`${issuer.path}/rotate`);
    clock.advance(leadSeconds + longestTokenSeconds + 599);
    await api.create(`${issuer.path}/rotate`);
    expect((await keysOf(issuer.path)).map(({ id }: { id: string }) => id)).toContain(first.id);
    clock.advance(leadSeconds);
    await api.create(`${issuer.path}/rotate`);
    const left = await keysOf(issuer.path);
    expect(left.map(({ status }: { status: string }) => status)).toEqual(['upcoming', 'current', 'retired']);
    expect((await api.get(`${issuer.path}/${first.id}`)).status).toBe(404);
  });

  test('the same Idempotency-Key answers the same key, also when another could be made by now', async () => {
    const issuer = await createIssuer();
    const headers = { 'Idempotency-Key': 'rotate-once' };
    const first = await api.post(`${issuer.path}/rotate`, {}, headers);
    clock.advance(leadSeconds);
    const again = await api.post(`${issuer.path}/rotate`, {}, headers);
    expect(again.text).toBe(first.text);
    expect((await keysOf(issuer.path)).length).toBe(2);
  });
});

describe('200', () => {
  test('50 at once make one key, and all are told the same', async () => {
    const issuer = await createIssuer();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(`${issuer.path}/rotate`, {})),
    );
    expect(answers.filter(({ status }) => status === 201).length).toBe(1);
    expect(answers.filter(({ status }) => status === 200).length).toBe(49);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(events.map(({ type }) => type)).toEqual(['signing-key.rotated', 'signing-key.created']);
    expect((await keysOf(issuer.path)).length).toBe(2);
  });

  test('while a key waits for its time, asking again answers it and changes nothing', async () => {
    const issuer = await createIssuer();
    const made = await api.post(`${issuer.path}/rotate`, { algorithm: 'EdDSA' });
    clock.advance(leadSeconds - 1);
    const before = await rows.snapshot();
    for (const body of [{}, { algorithm: 'EdDSA' }]) {
      const answer = await api.post(`${issuer.path}/rotate`, body);
      expect([answer.status, answer.text]).toEqual([200, made.text]);
    }
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('409', () => {
  test('of another algorithm than the key that waits', async () => {
    const issuer = await createIssuer();
    await api.create(`${issuer.path}/rotate`, {});
    const before = await rows.snapshot();
    const answer = await api.post(`${issuer.path}/rotate`, { algorithm: 'RS256' });
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    expect(await rows.snapshot()).toEqual(before);
    clock.advance(leadSeconds);
    expect((await api.post(`${issuer.path}/rotate`, { algorithm: 'RS256' })).status).toBe(201);
  });
});

describe('403', () => {
  test('without the permission, and for an organization’s key whatever it holds', async () => {
    const issuer = await createIssuer();
    const reader = await withScopes(api, ['gatelodge.signing-keys:read']);
    expect((await reader.get(issuer.path)).status).toBe(200);
    const organization = await api.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'x' });
    const tenant = await withScopes(
      api,
      everyPermission,
      `/v1/issuers/${issuer.id}/organizations/${organization.id}/api-keys`,
    );
    const before = await rows.snapshot();
    for (const caller of [reader, tenant]) {
      const answer = await caller.post(`${issuer.path}/rotate`, {});
      expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    }
    expect((await tenant.get(issuer.path)).status).toBe(403);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('404', () => {
  test('for a sandbox key and a live issuer; of a sandbox issuer it rotates the keys', async () => {
    const live = await createIssuer();
    const sandboxIssuer = await createIssuer({ environment: 'sandbox' });
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const before = await rows.snapshot();
    expect((await sandbox.post(`${live.path}/rotate`, {})).status).toBe(404);
    expect((await sandbox.get(live.path)).status).toBe(404);
    expect(await rows.snapshot()).toEqual(before);
    const { result, events } = await rows.eventsOf(() => sandbox.post(`${sandboxIssuer.path}/rotate`, {}));
    expect(result.status).toBe(201);
    expect(events.map(({ environment }) => environment)).toEqual(['sandbox', 'sandbox']);
  });

  test('for an issuer that was deleted', async () => {
    const issuer = await createIssuer();
    succeeded(await api.delete(`/v1/issuers/${issuer.id}`));
    expect((await api.post(`${issuer.path}/rotate`, {})).status).toBe(404);
    await expect
      .poll(() => rows.query('select from signing_keys where issuer_id = $1', [issuer.id]), {
        timeout: 10_000,
      })
      .toEqual([]);
  });
});

describe('422', () => {
  test.each([
    [{ algorithm: 'HS256' }, 'algorithm'],
    [{ algorithm: 'none' }, 'algorithm'],
    [{ algorithm: 'es256' }, 'algorithm'],
    [{ algorithm: null }, 'algorithm'],
    [{ algorithm: ['ES256'] }, 'algorithm'],
    [{ algorithm: 'ES256', activates_at: '2026-11-21T12:00:00.000Z' }, 'activates_at'],
    // Attack: a key of the caller's own choosing.
    [{ private_key: { kty: 'EC', d: 'x' } }, 'private_key'],
    [{ kid: 'mine' }, 'kid'],
  ])('%j is refused at %s and changes nothing', async (body, path) => {
    const issuer = await createIssuer();
    const before = await rows.snapshot();
    const answer = await api.post(`${issuer.path}/rotate`, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
    expect(await rows.snapshot()).toEqual(before);
  });
});
