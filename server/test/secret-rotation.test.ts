import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyText } from '../src/secrets/key-text.ts';
import { MasterKeyError } from '../src/secrets/master-key.ts';
import { rotateMasterKey } from '../src/secrets/master-key-rotation.ts';
import type { SecretPurpose } from '../src/secrets/secret-purpose.ts';
import { retireInstallationSecret, rotateInstallationSecret } from '../src/secrets/secret-rotation.ts';
import type { ApiAnswer } from './harness/api-client.ts';
import { type Customer, createCustomer } from './harness/customer.ts';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { createKey, succeeded, type TestKey } from './harness/test-issuer.ts';

/** Generations are used ten seconds after they were made and settled after sixty: time that a test does not wait. */
async function letTimePass(rows: Rows, nodes: readonly TestServer[]): Promise<void> {
  await rows.query(`update installation_secrets set created_at = created_at - interval '2 minutes'`);
  for (const { running } of nodes) await running.services.secrets.reload();
}

describe('rotating a secret of the keys', () => {
  let first: TestServer;
  let second: TestServer;
  let rows: Rows;
  let customer: Customer;
  beforeAll(async () => {
    first = await startTestServer();
    second = await startTestServer({ nodeOf: first });
    rows = await Rows.open(first.database);
    customer = await createCustomer(first);
  });
  afterAll(async () => {
    await rows.close();
    await second.close();
    await first.close();
  });

  const rotate = async (purpose: SecretPurpose) => {
    const { pool, secrets } = first.running.services;
    const generation = await rotateInstallationSecret(pool, secrets.masterKey, purpose);
    await letTimePass(rows, [first, second]);
    return generation;
  };
  const codesOf = async ({ secret }: TestKey) => {
    const verified = await Promise.all(
      [first, second].map((node) => createClient(node, customer).post('/v1/keys/verify', { key: secret })),
    );
    return verified.map(({ body }) => body.code);
  };
  const generationsOf = async ({ id }: TestKey) => {
    const [row] = await rows.query<{ digest_generation: number; check_generation: number }>(
      'select digest_generation, check_generation from api_keys where id = $1',
      [id],
    );
    return row;
  };

  // Attack: a secret has leaked. New keys must not depend on it, and nobody should have to change theirs that day.
  test.each(['api-key-digest', 'api-key-check'] as const)(
    '%s changes new keys only; old ones verify on every node until their generation is retired',
    async (purpose) => {
      const column = purpose === 'api-key-digest' ? 'digest_generation' : 'check_generation';
      const old = await createKey(customer.api, '/v1/api-keys');
      const generation = await rotate(purpose);
      const renewed = await createKey(customer.api, '/v1/api-keys');
      expect((await generationsOf(old))![column]).toBe(generation - 1);
      expect((await generationsOf(renewed))![column]).toBe(generation);
      for (const node of [first, second]) {
        // Also what memory does not hold.
        node.running.services.cache.flush();
        for (const key of [old, renewed]) expect(await codesOf(key)).toEqual(['VALID', 'VALID']);
      }

      const retire = () => retireInstallationSecret(first.running.services.pool, purpose, generation - 1);
      await expect(retire()).rejects.toMatchObject({ code: 'in_use' });
      expect(await codesOf(old)).toEqual(['VALID', 'VALID']);
    },
  );

  test('a retired generation’s keys are refused on every node, and cost no statement', async () => {
    const generation = await rotate('api-key-check');
    const key = await createKey(customer.api, '/v1/api-keys');
    await rotate('api-key-check');
    expect(await codesOf(key)).toEqual(['VALID', 'VALID']);
    succeeded(await customer.api.post(`${key.path}/revoke`));
    await retireInstallationSecret(first.running.services.pool, 'api-key-check', generation);
    for (const node of [first, second]) {
      await node.running.services.secrets.reload();
      node.running.services.cache.flush();
    }
    await codesOf({ ...key, secret: customer.key.secret });
    const logs = [first, second].map((node) => new SqlLog(node));
    expect(await codesOf(key)).toEqual(['NOT_FOUND', 'NOT_FOUND']);
    const lookups = logs.flatMap((log) => log.lookups.filter(({ text }) => text.includes('lookup_api_key')));
    expect(lookups).toEqual([]);
    for (const log of logs) log.close();
  });

  // Attack: a leaked cursor secret opens no account, but lets cursors be made up until it is retired.
  test('the cursor secret leaves old cursors working until it is retired', async () => {
    for (let count = 0; count < 3; count++) await createKey(customer.api, '/v1/api-keys');
    const { body } = await customer.api.get('/v1/api-keys?limit=1');
    const next = () => customer.api.get(`/v1/api-keys?limit=1&cursor=${body.next_cursor}`);
    expect((await next()).status).toBe(200);
    const generation = await rotate('cursor');
    expect((await next()).status).toBe(200);
    await retireInstallationSecret(first.running.services.pool, 'cursor', generation - 1);
    await first.running.services.secrets.reload();
    expect((await next()).body.errors[0].code).toBe('invalid_cursor');
  });
});

describe('changing the master key', () => {
  // Attack: the change is made while everybody works, on one node after the other.
  test('under traffic fails no request on any node, and afterwards the new key alone opens the database', async () => {
    const newKey = generateKeyText();
    const env = { GATELODGE_NEW_MASTER_KEY: newKey };
    const first = await startTestServer({ env });
    const second = await startTestServer({ nodeOf: first, env });
    const customer = await createCustomer(first);
    const old = await createKey(customer.api, '/v1/api-keys');
    const state = { isDone: false };
    const failures: string[] = [];
    let answered = 0;
    const traffic = [first, second, first, second].map(async (node) => {
      const api = createClient(node, customer);
      while (!state.isDone) {
        const answers: ApiAnswer[] = [
          await api.post('/v1/keys/verify', { key: old.secret }),
          await api.get('/v1/me'),
          await api.post('/v1/api-keys', {}, { 'Idempotency-Key': generateKeyText() }),
          await api.get('/v1/api-keys?limit=1'),
        ];
        const made = answers[2]!.body?.data?.secret_plain;
        answers.push(await api.post('/v1/keys/verify', { key: made }));
        answers.push(await api.get(`/v1/api-keys?limit=1&cursor=${answers[3]!.body?.next_cursor}`));
        answered += answers.length;
        failures.push(...answers.filter(isFailure).map(({ status, text }) => `${status} ${text}`));
      }
    });
    const { pool, settings } = first.running.services;
    for (let change = 0; change < scaled(3, 20); change++) {
      // The second time nothing is left to do, and it may be asked for all the same.
      const { rewrapped } = await rotateMasterKey(pool, settings);
      expect(rewrapped > 0).toBe(change === 0);
      await Promise.all([first, second].map(({ running }) => running.services.secrets.reload()));
    }
    while (answered < 200) await new Promise((resolve) => setTimeout(resolve, 20));
    state.isDone = true;
    await Promise.all(traffic);
    expect(failures).toEqual([]);
    const started = await startTestServer({ nodeOf: { ...first, masterKey: newKey } });
    const { body } = await createClient(started, customer).post('/v1/keys/verify', { key: old.secret });
    expect(body.code).toBe('VALID');
    await started.close();
    await expect(startTestServer({ nodeOf: first })).rejects.toBeInstanceOf(MasterKeyError);
    await second.close();
    await first.close();
  });
});

describe('what is stored encrypted', () => {
  let server: TestServer;
  let rows: Rows;
  let customer: Customer;
  beforeAll(async () => {
    server = await startTestServer();
    rows = await Rows.open(server.database);
  });
  afterAll(async () => {
    await rows.close();
    await server.close();
  });
  beforeEach(async () => {
    customer = await createCustomer(server);
  });

  const header = { 'Idempotency-Key': 'once' };
  const create = (name = 'backend') => customer.api.post('/v1/api-keys', { name }, header);

  // Attack: whoever can write to the table has an answer of their own making shown to somebody, or somebody else's.
  test.each([
    [
      'its last byte',
      `set_byte(response, length(response) - 1, get_byte(response, length(response) - 1) # 1)`,
    ],
    ['its first byte', `set_byte(response, 0, get_byte(response, 0) # 1)`],
    ['a byte of the key’s id', `set_byte(response, 4, get_byte(response, 4) # 1)`],
    ['a byte of the salt', `set_byte(response, 12, get_byte(response, 12) # 1)`],
    ['a byte in the middle', `set_byte(response, 40, get_byte(response, 40) # 1)`],
    ['all of it', `'\\x'::bytea`],
    ['its end', `substr(response, 1, length(response) - 20)`],
    ['nothing but adds a byte', `response || '\\x00'::bytea`],
  ])('an answer kept for a replay that has lost or changed %s is not replayed', async (_what, changed) => {
    const first = await create();
    expect(first.status).toBe(201);
    await rows.query(`update idempotency_records set response = ${changed} where account_id = $1`, [
      customer.id,
    ]);
    const keysBefore = await rows.count('api_keys');
    const logged = server.logLines.length;
    const replay = await create();
    expect([replay.status, replay.body.code]).toEqual([500, 'internal_error']);
    expect(replay.text).not.toContain(first.body.data.id);
    expect(await rows.count('api_keys')).toBe(keysBefore);
    expect(server.logLines.slice(logged).join('')).toContain('EnvelopeError');
  });

  test('an answer of another request, put in the place of this one’s, is not replayed', async () => {
    const first = await create();
    const other = await createCustomer(server);
    const theirs = await other.api.post('/v1/api-keys', { name: 'backend' }, header);
    await rows.query(
      `update idempotency_records mine set response = theirs.response, fingerprint = theirs.fingerprint
         from idempotency_records theirs where mine.account_id = $1 and theirs.account_id = $2`,
      [customer.id, other.id],
    );
    const replay = await create();
    expect([replay.status, replay.body.code]).toEqual([500, 'internal_error']);
    expect(replay.text).not.toContain(theirs.body.data.secret_plain);
    expect(first.status).toBe(201);
  });

  // Attack: a secret of the installation is swapped for one that the thief knows, so that keys can be forged.
  test.each([
    ['changed', `set_byte(wrapped, length(wrapped) - 1, get_byte(wrapped, length(wrapped) - 1) # 1)`],
    ['cut', `substr(wrapped, 1, 30)`],
    ['that of another purpose', `(select o.wrapped from installation_secrets o where o.purpose = 'cursor')`],
  ])(
    'an installation secret that is %s stops the next node and leaves the running one as it was',
    async (_how, changed) => {
      const [kept] = await rows.query<{ wrapped: Buffer }>(
        `select wrapped from installation_secrets where purpose = 'api-key-check'`,
      );
      await rows.query(
        `update installation_secrets set wrapped = ${changed} where purpose = 'api-key-check'`,
      );
      await expect(startTestServer({ nodeOf: server })).rejects.toThrow(/damaged/);
      await expect(server.running.services.secrets.reload()).rejects.toThrow(/damaged/);
      const key = await createKey(customer.api, '/v1/api-keys');
      const { body } = await customer.api.post('/v1/keys/verify', { key: key.secret });
      expect(body.code).toBe('VALID');
      await rows.query(`update installation_secrets set wrapped = $1 where purpose = 'api-key-check'`, [
        kept!.wrapped,
      ]);
      await server.running.services.secrets.reload();
    },
  );

  test('an installation secret under another master key stops the next node', async () => {
    await expect(
      startTestServer({ nodeOf: { ...server, masterKey: generateKeyText() } }),
    ).rejects.toBeInstanceOf(MasterKeyError);
  });
});

describe('a dump of the database', () => {
  // Attack: take every value out of every column, in every spelling, and show it as a credential.
  test('holds nothing that opens anything', async () => {
    const server = await startTestServer();
    const rows = await Rows.open(server.database);
    const customer = await createCustomer(server);
    const key = await createKey(customer.api, '/v1/api-keys');
    await customer.api.post('/v1/api-keys', {}, { 'Idempotency-Key': 'once' });
    const tables = await rows.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'gatelodge'`,
    );
    const values = new Set<string>();
    for (const { name } of tables) {
      for (const row of await rows.query(`select * from ${name}`)) {
        for (const value of Object.values(row)) for (const text of spellingsOf(value)) values.add(text);
      }
    }
    expect(values.size).toBeGreaterThan(80);
    const opened: string[] = [];
    for (const value of values) {
      const anonymous = customer.api.as(null);
      const answers = [
        await anonymous.get('/v1/me', { Authorization: `Bearer ${value}` }),
        await anonymous.get('/v1/me', { 'X-API-Key': value }),
        await customer.api.as({ id: key.id, secret: value }).get('/v1/account'),
      ];
      if (answers.some(({ status }) => status !== 401)) opened.push(value);
    }
    expect(opened).toEqual([]);
    await rows.close();
    await server.close();
  });
});

function createClient(node: TestServer, customer: Customer) {
  return node.operator.api.as(customer.key);
}

function isFailure({ status, body }: ApiAnswer): boolean {
  return status >= 300 || body?.valid === false;
}

/** A value of a column as texts that a header can carry. */
function spellingsOf(value: unknown): string[] {
  if (Buffer.isBuffer(value))
    return ['hex', 'base64', 'base64url', 'latin1'].flatMap((form) => {
      const text = value.toString(form as BufferEncoding);
      return /^[\x21-\x7e]+$/.test(text) ? [text] : [];
    });
  if (typeof value === 'string') return /^[\x21-\x7e]+$/.test(value) ? [value] : [];
  if (Array.isArray(value)) return value.flatMap(spellingsOf);
  if (typeof value === 'object' && value !== null && !(value instanceof Date))
    return Object.values(value).flatMap(spellingsOf);
  return [];
}
