import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { SqlLog } from '../../test/harness/sql-log.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import { retireInstallationSecret, rotateInstallationSecret } from '../secrets/secret-rotation.ts';
import { SigningKeys } from './signing-keys.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const sql = new SqlLog(server);
afterAll(async () => {
  sql.close();
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { services } = server.running;
const { signingKeys, settings } = services;
beforeEach(() => expect.poll(() => services.freshness.mode).toBe('fresh'));

const createIssuer = async (): Promise<string> => (await api.create('/v1/issuers', { name: 'Acme API' })).id;

function claimsOf(id: string) {
  const now = clock.nowMs() / 1000;
  const iss = issuerUrl(settings, id);
  return {
    ...{ iss, sub: 'usr_1', aud: iss, exp: now + 600, iat: now, jti: 'a', client_id: 'otp' },
    environment: 'live' as const,
  };
}

const sign = (id: string, by = signingKeys) => by.sign({ id }, claimsOf(id), 'at+jwt');
const verify = (id: string, token: string, by = signingKeys) => by.verify(id, token, clock.nowMs());
const kidOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid;

/** Another store on the same node, which holds the keys of so many issuers. */
const holding = (max: number) =>
  new SigningKeys(
    {
      settings,
      keys: services.keys,
      cache: services.cache,
      secrets: services.secrets,
      pool: services.lookupPool,
      database: services.database,
      log: services.log,
      nowMs: () => clock.nowMs(),
    },
    max,
  );

async function anotherNode() {
  const other = await startTestServer({ clock, nodeOf: server });
  return { server: other, [Symbol.asyncDispose]: () => other.close() };
}

const lookups = () => sql.lookups.filter(({ text }) => text.includes('lookup_signing_keys')).length;

test('signs and verifies without SQL once the keys are held', async () => {
  const id = await createIssuer();
  await verify(id, await sign(id));
  sql.clear();
  for (let round = 0; round < 20; round++) expect((await verify(id, await sign(id))).ok).toBe(true);
  expect(await signingKeys.jwks(id)).toContain(kidOf(await sign(id)));
  expect([sql.lookups.filter(({ text }) => !text.startsWith('select pg_notify')), sql.statements]).toEqual([
    [],
    [],
  ]);
});

test('an issuer that there is none of signs nothing, verifies nothing and has no key set', async () => {
  const id = await createIssuer();
  const token = await sign(id);
  succeeded(await api.delete(`/v1/issuers/${id}`));
  for (const gone of [id, newId(idPrefixes.issuer)]) {
    await expect(sign(gone)).rejects.toMatchObject({ code: 'not_found' });
    expect(await verify(gone, token)).toEqual({ ok: false });
    expect(await signingKeys.jwks(gone)).toBeNull();
  }
});

test('the keys of a deleted issuer are gone from the database too', async () => {
  const id = await createIssuer();
  succeeded(await api.delete(`/v1/issuers/${id}`));
  await expect
    .poll(() => rows.query('select from signing_keys where issuer_id = $1', [id]), { timeout: 10_000 })
    .toEqual([]);
});

test('memory is bounded: who has not been asked about for the longest is read again', async () => {
  const few = holding(3);
  const ids = await Promise.all(Array.from({ length: 6 }, createIssuer));
  const tokens = new Map<string, string>();
  for (const id of ids) tokens.set(id, await sign(id, few));
  expect(few.size).toBe(3);
  sql.clear();
  for (const id of ids.slice(3)) expect((await verify(id, tokens.get(id)!, few)).ok).toBe(true);
  expect(lookups()).toBe(0);
  for (const id of ids.slice(0, 3)) expect((await verify(id, tokens.get(id)!, few)).ok).toBe(true);
  expect([lookups(), few.size]).toEqual([3, 3]);
});

describe('a rotation', () => {
  test('is published by every node within a second, and signs on all of them when its time comes', async () => {
    const id = await createIssuer();
    await using node = await anotherNode();
    const there = node.server.running.services;
    await expect.poll(() => there.freshness.mode).toBe('fresh');
    const former = kidOf(await sign(id));
    expect(await there.signingKeys.jwks(id)).toBe(await signingKeys.jwks(id));
    const made = await api.create(`/v1/issuers/${id}/signing-keys/rotate`);
    expect(await signingKeys.jwks(id)).toContain(made.id);
    await expect.poll(() => there.signingKeys.jwks(id), { timeout: 1_000, interval: 20 }).toContain(made.id);
    for (const each of [signingKeys, there.signingKeys]) expect(kidOf(await sign(id, each))).toBe(former);
    clock.advance(930);
    const tokens = await Promise.all([signingKeys, there.signingKeys].map((each) => sign(id, each)));
    for (const token of tokens) {
      expect(kidOf(token)).toBe(made.id);
      for (const each of [signingKeys, there.signingKeys])
        expect((await verify(id, token, each)).ok).toBe(true);
    }
  });

  test('leaves the former key in the set until its last token has ended, and no longer', async () => {
    const id = await createIssuer();
    const former = kidOf(await sign(id));
    await api.create(`/v1/issuers/${id}/signing-keys/rotate`);
    clock.advance(930 + 3600 + 599);
    expect(await signingKeys.jwks(id)).toContain(former);
    clock.advance(1);
    expect(await signingKeys.jwks(id)).not.toContain(former);
  });
});

describe('an issuer that an older build has made', () => {
  test('gets its first key when that is first needed, once, whoever asks', async () => {
    const id = await createIssuer();
    await rows.query('delete from signing_keys where issuer_id = $1', [id]);
    await rows.query('update issuers set version = version + 1 where id = $1', [id]);
    const stores = [holding(10), holding(10), holding(10)];
    const { result, events } = await rows.eventsOf(() =>
      Promise.all([
        ...stores.map((store) => store.jwks(id)),
        ...stores.map(async (store) => store.jwks(id).then(() => sign(id, store))),
      ]),
    );
    const sets = result.slice(0, 3);
    expect(new Set(sets).size).toBe(1);
    expect(JSON.parse(sets[0]!).keys.length).toBe(1);
    for (const token of result.slice(3)) expect((await verify(id, token!, stores[0])).ok).toBe(true);
    expect(events.filter(({ issuer_id }) => issuer_id === id)).toMatchObject([
      { type: 'signing-key.created', actor: { type: 'system', id: 'signing-keys' } },
    ]);
  });
});

describe('whoever can write the table', () => {
  // Attack: with the database, but without the master key, somebody has tokens of an issuer accepted.
  const damages: Record<string, string> = {
    'one bit of the sealed key': 'sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)',
    'a sealed key of another issuer': `sealed = (select o.sealed from signing_keys o where o.issuer_id <> k.issuer_id limit 1)`,
    'another algorithm': `algorithm = 'RS256'`,
    'another kid': `id = 'sig_' || repeat('0', 25)`,
    'another generation': 'secret_generation = 61',
    'nothing but a beginning': 'sealed = substring(sealed for 20)',
    'an empty one': `sealed = ''`,
  };

  test.each(Object.entries(damages))('puts no key of their own there by %s', async (_name, damage) => {
    const id = await createIssuer();
    const token = await sign(id);
    await rows.query(`update signing_keys k set ${damage}, version = version where issuer_id = $1`, [id]);
    const store = holding(10);
    expect(await store.jwks(id)).toBe('{"keys":[]}');
    expect(await verify(id, token, store)).toEqual({ ok: false });
    await expect(sign(id, store)).rejects.toThrow(/no signing key/);
    expect(server.logLines.join('')).toContain('A signing key does not open');
  });

  test('keeps a key that does not open from being asked for without end, and the others serve on', async () => {
    const id = await createIssuer();
    await api.create(`/v1/issuers/${id}/signing-keys/rotate`);
    await rows.query(`update signing_keys set sealed = '' where issuer_id = $1 and activates_at > $2`, [
      id,
      clock.now(),
    ]);
    const store = holding(10);
    expect((await verify(id, await sign(id, store), store)).ok).toBe(true);
    sql.clear();
    for (let round = 0; round < 10; round++) await store.jwks(id);
    expect(lookups()).toBe(0);
    clock.advance(11);
    await store.jwks(id);
    expect(lookups()).toBe(1);
  });
});

describe('the installation secret', () => {
  test('rotates under the keys, and its former generation stays while a key needs it', async () => {
    const id = await createIssuer();
    const token = await sign(id);
    const { masterKey } = services.secrets;
    const generation = await rotateInstallationSecret(services.pool, masterKey, 'signing-key');
    await rows.query(
      `update installation_secrets set created_at = created_at - interval '1 hour' where purpose = 'signing-key'`,
    );
    await services.secrets.reload();
    const later = await createIssuer();
    const sealed = await rows.query<{ issuer_id: string; secret_generation: number }>(
      'select issuer_id, secret_generation from signing_keys where issuer_id = any ($1)',
      [[id, later]],
    );
    expect(new Map(sealed.map((row) => [row.issuer_id, row.secret_generation]))).toEqual(
      new Map([
        [id, generation - 1],
        [later, generation],
      ]),
    );
    await expect(
      retireInstallationSecret(services.pool, 'signing-key', generation - 1),
    ).rejects.toMatchObject({ code: 'in_use' });
    const store = holding(10);
    expect((await verify(id, token, store)).ok).toBe(true);
    expect((await verify(later, await sign(later, store), store)).ok).toBe(true);
    await rows.query('update signing_keys set secret_generation = $1', [generation]);
    await retireInstallationSecret(services.pool, 'signing-key', generation - 1);
    await rows.query(`update signing_keys set secret_generation = $1 where issuer_id = $2`, [
      generation - 1,
      id,
    ]);
    // What is sealed by a generation that is retired meanwhile is refused rather than lost.
    await expect(
      rows.query(
        `insert into signing_keys (id, account_id, issuer_id, algorithm, sealed, secret_generation, activates_at, retires_at, expires_at)
          select 'sig_x', account_id, issuer_id, algorithm, sealed, $1, activates_at, now(), now()
          from signing_keys where issuer_id = $2`,
        [generation - 1, later],
      ),
    ).rejects.toMatchObject({ code: '55000' });
  });
});
