import { createHash } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { retireInstallationSecret, rotateInstallationSecret } from '../src/secrets/secret-rotation.ts';
import { ApiClient } from './harness/api-client.ts';
import { type Customer, createCustomer } from './harness/customer.ts';
import { PostgresProxy } from './harness/postgres-proxy.ts';
import { Random } from './harness/random.ts';
import { Rows } from './harness/rows.ts';
import { isSoak, scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { succeeded, TestIssuer } from './harness/test-issuer.ts';

const random = new Random();
const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex');
const newSecret = () => `old_${random.text(24, '0123456789abcdef')}`;
const pageSize = 1_000;

let one: TestServer;
let other: TestServer;
let proxy: PostgresProxy;
let rows: Rows;
let customer: Customer;
let issuer: TestIssuer;
/** The customer by way of the other node. */
let atOther: ApiClient;
beforeAll(async () => {
  one = await startTestServer();
  proxy = await PostgresProxy.start(one.database.appUrl);
  other = await startTestServer({ nodeOf: one, env: { DATABASE_URL: proxy.url(one.database.appUrl) } });
  rows = await Rows.open(one.database);
  customer = await createCustomer(one);
  issuer = await TestIssuer.create(one, {}, {}, customer.api);
  atOther = new ApiClient(other.url, customer.key);
  await ready(one, other);
});
afterAll(async () => {
  await rows.close();
  proxy.thaw();
  await other.close();
  await proxy.close();
  await one.close();
});

/** The nodes hear of changes and hold the digest of every imported key. */
function ready(...nodes: TestServer[]): Promise<void> {
  return vi.waitFor(
    () => {
      for (const { running } of nodes)
        expect([running.services.freshness.isFresh(), running.services.imported.isReady]).toEqual([
          true,
          true,
        ]);
    },
    { timeout: 20_000 },
  );
}

async function importSecrets(secrets: readonly string[], api = customer.api): Promise<{ id: string }[]> {
  const keys = secrets.map((secret) => ({ hash: sha256(secret) }));
  const { data } = succeeded(await api.post(`${issuer.path}/api-keys/import`, { keys })).body;
  expect([data.imported, data.conflicts]).toEqual([secrets.length, []]);
  return data.keys;
}

const codeOf = async (secret: string, api = customer.api): Promise<string> => {
  const { body } = await api.post('/v1/keys/verify', { key: secret });
  return body.code;
};
const becomes = (code: string, secret: string, api: ApiClient) =>
  vi.waitFor(async () => expect(await codeOf(secret, api)).toBe(code), { timeout: 10_000, interval: 20 });

const lookupsOfKeys = (log: SqlLog) => log.lookups.filter(({ text }) => text.includes('lookup_api_key'));

// Attack: with imported keys in the house any text may be a key, so a flood of made-up ones makes the database busy.
describe('a great many imported keys', () => {
  const count = scaled(2_000, 100_000);
  const secrets = Array.from({ length: count }, newSecret);

  test(
    'are imported in calls of a thousand, and those asked for verify on both nodes',
    async () => {
      const startedAt = performance.now();
      for (let from = 0; from < count; from += pageSize) {
        const before = one.statements.length;
        await importSecrets(secrets.slice(from, from + pageSize));
        const statements = one.statements.slice(before).filter((sql) => !/lookup_|expire_/.test(sql));
        expect(statements.length).toBeLessThanOrEqual(12);
      }
      if (isSoak)
        console.log(`SOAK import: ${count} keys in ${Math.round(performance.now() - startedAt)} ms`);
      const sample = Array.from({ length: 200 }, () => secrets[random.int(count)]!);
      for (const secret of sample) expect(await codeOf(secret)).toBe('VALID');
      await ready(other);
      for (const secret of sample) expect(await codeOf(secret, atOther)).toBe('VALID');
    },
    scaled(60_000, 600_000),
  );

  test(
    'leave made-up keys without SQL, but for the filter’s false positives',
    async () => {
      await ready(one);
      const log = new SqlLog(one);
      const { imported } = one.running.services;
      const before = { ...imported.answers };
      const asked = scaled(2_000, 20_000);
      const asGateway = new TestIssuer(one.url, customer.api, issuer.id);
      for (let index = 0; index < asked; index++) {
        const secret = index % 3 === 0 ? `gl_live_sk_${random.text(44, 'abcXYZ019')}` : newSecret();
        if (index % 2 === 0) expect(await codeOf(secret)).toBe('NOT_FOUND');
        else expect((await asGateway.authorize({ 'X-API-Key': secret })).status).toBe(401);
      }
      const falsePositives = imported.answers.false_positive - before.false_positive;
      expect(lookupsOfKeys(log).length).toBe(falsePositives);
      expect(falsePositives).toBeLessThanOrEqual(2);
      expect(imported.answers.negative - before.negative).toBe(asked - falsePositives);
      expect(log.statements).toEqual([]);
      log.close();
    },
    scaled(60_000, 600_000),
  );

  test('are counted in the metrics', async () => {
    const { text } = await customer.api
      .as(null)
      .get('/metrics', { Authorization: 'Bearer metrics-token-of-the-tests-0123456789' });
    const figure = (name: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    expect(figure('gatelodge_imported_keys')).toBeGreaterThanOrEqual(count - 5);
    const answers = (answer: string) => figure(`gatelodge_imported_key_filter_total{answer="${answer}"}`);
    expect(answers('negative')).toBeGreaterThan(1_000);
    expect(answers('hit')).toBeGreaterThan(0);
    expect(answers('false_positive')).toBeGreaterThanOrEqual(0);
  });

  test('are all known again to a node that starts', async () => {
    const third = await startTestServer({ nodeOf: one });
    await ready(third);
    expect(third.running.services.imported.size).toBeGreaterThanOrEqual(count - 5);
    const atThird = new ApiClient(third.url, customer.key);
    for (const secret of secrets.slice(-50)) expect(await codeOf(secret, atThird)).toBe('VALID');
    await third.close();
  });
});

describe('a key imported on one node', () => {
  test('verifies there when the call returns, and on the other within the lag of changes', async () => {
    for (let round = 0; round < scaled(5, 100); round++) {
      const secret = newSecret();
      // Known as unknown on both: that must not stick.
      expect(await codeOf(secret)).toBe('NOT_FOUND');
      expect(await codeOf(secret, atOther)).toBe('NOT_FOUND');
      await importSecrets([secret]);
      expect(await codeOf(secret)).toBe('VALID');
      await becomes('VALID', secret, atOther);
    }
  });

  test('is refused on the other once it is revoked or deleted here', async () => {
    const secrets = [newSecret(), newSecret()];
    const [first, second] = await importSecrets(secrets);
    for (const secret of secrets) await becomes('VALID', secret, atOther);
    succeeded(await customer.api.post(`${issuer.path}/api-keys/${first!.id}/revoke`));
    succeeded(await customer.api.delete(`${issuer.path}/api-keys/${second!.id}`));
    await becomes('REVOKED', secrets[0]!, atOther);
    await becomes('NOT_FOUND', secrets[1]!, atOther);
  });

  // The other node's ear is cut off: what is imported then, no announcement tells it of.
  test('verifies on a node that hears of no change, and still does when that hears again', async () => {
    proxy.refuseOnly('gatelodge changes');
    await endListening();
    const { freshness } = other.running.services;
    await vi.waitFor(() => expect(freshness.isFresh()).toBe(false), { timeout: 10_000 });
    const secrets = Array.from({ length: 10 }, newSecret);
    await importSecrets(secrets);
    for (const secret of secrets) expect(await codeOf(secret, atOther)).toBe('VALID');
    expect(await codeOf(newSecret(), atOther)).toBe('NOT_FOUND');

    proxy.thaw();
    await ready(other);
    const log = new SqlLog(other);
    for (const secret of secrets) expect(await codeOf(secret, atOther)).toBe('VALID');
    log.clear();
    for (let index = 0; index < 50; index++) expect(await codeOf(newSecret(), atOther)).toBe('NOT_FOUND');
    expect(lookupsOfKeys(log).length).toBeLessThanOrEqual(1);
    log.close();
  });
});

async function endListening(): Promise<void> {
  const client = new pg.Client({ connectionString: one.database.superuserUrl });
  await client.connect();
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = 'gatelodge changes' and datname = current_database()`,
  );
  await client.end();
  await ready(one);
}

// Attack: the digest secret has leaked and is rotated. No imported key may be lost by it, and none be imported twice.
describe('rotating the secret of the digests', () => {
  const rotate = async () => {
    const { pool, secrets } = one.running.services;
    const generation = await rotateInstallationSecret(pool, secrets.masterKey, 'api-key-digest');
    // Used ten seconds after it was made and settled after sixty: time that a test does not wait.
    await rows.query(`update installation_secrets set created_at = created_at - interval '2 minutes'`);
    for (const { running } of [one, other]) await running.services.secrets.reload();
    return generation;
  };

  test('keeps imported keys, known by their hashes, until the last is gone and the generation is retired', async () => {
    const owner = await createCustomer(one);
    const path = '/v1/api-keys/import';
    const secret = newSecret();
    const old = succeeded(await owner.api.post(path, { keys: [{ hash: sha256(secret) }] })).body.data.keys[0];
    const generation = await rotate();
    const generationOf = async (id: string) =>
      (
        await rows.query<{ g: number; c: number }>(
          'select digest_generation as g, check_generation as c from api_keys where id = $1',
          [id],
        )
      )[0];
    expect(await generationOf(old.id)).toEqual({ g: generation - 1, c: 0 });
    for (const node of [one, other]) {
      node.running.services.cache.flush();
      await becomes('VALID', secret, new ApiClient(node.url, owner.key));
    }
    const renewed = newSecret();
    const keys = [{ hash: sha256(secret) }, { hash: sha256(renewed) }];
    const { data } = succeeded(await owner.api.post(path, { keys })).body;
    expect(data).toMatchObject({ imported: 1, conflicts: [{ index: 0, reason: 'already_imported' }] });
    expect(await generationOf(data.keys[0].id)).toEqual({ g: generation, c: 0 });
    expect(await codeOf(renewed, owner.api)).toBe('VALID');

    // Attack on "unique per account": a node that knows the old generation alone is asked to import what another has
    // imported under the new one.
    const { secrets: secretsOfOther } = other.running.services;
    const knows = vi
      .spyOn(secretsOfOther, 'key')
      .mockImplementation((purpose, number) =>
        number === generation
          ? undefined
          : secretsOfOther.generations(purpose).find((each) => each.generation === number)?.key,
      );
    const stale = new ApiClient(other.url, owner.key);
    const late = await stale.post(path, { keys: [{ hash: sha256(renewed) }] });
    expect([late.status, late.body.code]).toEqual([503, 'unavailable']);
    knows.mockRestore();
    const repeated = await stale.post(path, { keys: [{ hash: sha256(renewed) }] });
    expect(repeated.body.data).toMatchObject({ imported: 0, conflicts: [{ reason: 'already_imported' }] });

    const retire = () =>
      retireInstallationSecret(one.running.services.pool, 'api-key-digest', generation - 1);
    await expect(retire()).rejects.toMatchObject({ code: 'in_use' });
    // All that the generation still has, so that the imported key is the one that is counted.
    await rows.query(`update api_keys set status = 'revoked', revoked_at = now(), version = version + 1
      where digest_generation = ${generation - 1} and id <> '${old.id}' and import_batch is not null`);
    const needed = await rows.query<{ n: string }>(
      `select lookup_keys_of_generation('api-key-digest', ${generation - 1}) as n`,
    );
    succeeded(await owner.api.post(`/v1/api-keys/${old.id}/revoke`));
    const left = await rows.query<{ n: string }>(
      `select lookup_keys_of_generation('api-key-digest', ${generation - 1}) as n`,
    );
    expect(Number(needed[0]!.n) - Number(left[0]!.n)).toBe(1);
    expect(await codeOf(secret, owner.api)).toBe('REVOKED');
  });
});
