import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createPool } from '../postgres/pool.ts';
import { silentLog } from '../supervisor/log.ts';
import { loadInstallationSecrets } from './installation-secrets.ts';
import { readSecrets } from './installation-secrets-store.ts';
import { MasterKey, MasterKeyError } from './master-key.ts';
import { lastGeneration, secretPurposes } from './secret-purpose.ts';
import {
  retireInstallationSecret,
  rewrapInstallationSecrets,
  rotateInstallationSecret,
  SecretRotationError,
} from './secret-rotation.ts';
import { DamagedSecretError } from './secret-wrapping.ts';

const accountId = `acc_${'0'.repeat(25)}`;

let database: TestDatabase;
let pool: pg.Pool;
let owner: pg.Client;
let masterKey: MasterKey;
let keyCount = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.appUrl, max: 20, applicationName: 'test', log: silentLog });
  owner = new pg.Client({ connectionString: database.ownerUrl, options: '-c search_path=gatelodge' });
  await owner.connect();
  await owner.query(`insert into accounts (id, name) values ($1, 'test')`, [accountId]);
});
afterAll(async () => {
  await owner.end();
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  await owner.query('delete from api_keys');
  await owner.query('delete from installation_secrets');
  masterKey = newMasterKey();
  await loadInstallationSecrets(pool, masterKey);
});

function newMasterKey(): MasterKey {
  return new MasterKey(randomBytes(32), { kind: 'environment', variable: 'GATELODGE_MASTER_KEY' });
}

async function insertKey(
  client: pg.ClientBase,
  generations: { digest: number; check: number },
): Promise<string> {
  const id = `key_${String(keyCount++).padStart(25, '0')}`;
  await client.query(
    `insert into api_keys (id, account_id, name, kind, environment, hint, digest, digest_generation, check_generation, created_by)
     values ($1, $2, 'test', 'secret', 'live', 'x', $3, $4, $5, '{}')`,
    [id, accountId, randomBytes(32), generations.digest, generations.check],
  );
  return id;
}

/** As if everything had been made long ago. */
async function letTimePass(): Promise<void> {
  await owner.query(`update installation_secrets set created_at = created_at - interval '1 hour'`);
}

async function stored(): Promise<string> {
  const rows = await readSecrets(pool);
  return JSON.stringify(
    rows.map((row) => ({ ...row, wrapped: row.wrapped.toString('hex'), ageSeconds: undefined })),
  );
}

/** Why a rotation or retirement was refused. */
async function refusal(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof SecretRotationError) return error.code;
  throw error ?? new Error('it was not refused');
}

/** Payloads that nodes are told while `work` runs. */
async function noticesDuring(work: () => Promise<unknown>): Promise<string[]> {
  const notices: string[] = [];
  const listener = new pg.Client({ connectionString: database.appUrl });
  await listener.connect();
  listener.on('notification', (notice) => notices.push(notice.payload ?? ''));
  await listener.query('listen gatelodge_change');
  await work().catch(() => {});
  await listener.query('select 1');
  await listener.end();
  return notices;
}

describe('rotate', () => {
  test('adds a generation with another key and tells every node', async () => {
    const notices = await noticesDuring(async () => {
      expect(await rotateInstallationSecret(pool, masterKey, 'api-key-check')).toBe(2);
    });
    expect(notices).toEqual(['{"kind":"secrets"}']);
    const secrets = await loadInstallationSecrets(pool, masterKey);
    expect(secrets.key('api-key-check', 2)).not.toEqual(secrets.key('api-key-check', 1));
    expect(secrets.generations('api-key-digest')).toHaveLength(1);
  });

  test('ten at once make ten generations', async () => {
    const made = await Promise.all(
      Array.from({ length: 10 }, () => rotateInstallationSecret(pool, masterKey, 'cursor')),
    );
    expect(made.sort((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('with another master key is refused and adds nothing', async () => {
    const kept = await stored();
    await expect(rotateInstallationSecret(pool, newMasterKey(), 'cursor')).rejects.toThrow(MasterKeyError);
    expect(await stored()).toBe(kept);
  });

  test('ends with the last generation that a key can name', async () => {
    for (let generation = 2; generation <= lastGeneration; generation++) {
      expect(await rotateInstallationSecret(pool, masterKey, 'api-key-check')).toBe(generation);
    }
    expect(await refusal(rotateInstallationSecret(pool, masterKey, 'api-key-check'))).toBe('exhausted');
  });
});

describe('retire', () => {
  test('stops a generation that nothing needs, and tells every node', async () => {
    await rotateInstallationSecret(pool, masterKey, 'api-key-digest');
    await letTimePass();
    const notices = await noticesDuring(() => retireInstallationSecret(pool, 'api-key-digest', 1));
    expect(notices).toEqual(['{"kind":"secrets"}']);
    const secrets = await loadInstallationSecrets(pool, masterKey);
    expect(secrets.key('api-key-digest', 1)).toBeUndefined();
    expect(secrets.current('api-key-digest').generation).toBe(2);
  });

  test('is refused for the newest, for what is unknown and for what is retired', async () => {
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await letTimePass();
    await retireInstallationSecret(pool, 'cursor', 1);
    expect(await refusal(retireInstallationSecret(pool, 'cursor', 1))).toBe('retired');
    expect(await refusal(retireInstallationSecret(pool, 'cursor', 2))).toBe('current');
    expect(await refusal(retireInstallationSecret(pool, 'cursor', 3))).toBe('unknown');
  });

  test('is refused while a node may still be making keys with it', async () => {
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    expect(await refusal(retireInstallationSecret(pool, 'cursor', 1))).toBe('unsettled');
  });

  test.each([
    ['api-key-digest', { digest: 1, check: 2 }],
    ['api-key-check', { digest: 2, check: 1 }],
  ] as const)(
    'of %s is refused while keys that are not revoked need it, and says how many',
    async (purpose, generations) => {
      for (const rotated of ['api-key-digest', 'api-key-check'] as const) {
        await rotateInstallationSecret(pool, masterKey, rotated);
      }
      await letTimePass();
      const ids = [await insertKey(owner, generations), await insertKey(owner, generations)];
      await owner.query(`update api_keys set status = 'disabled' where id = $1`, [ids[0]]);
      const notices = await noticesDuring(async () => {
        await expect(retireInstallationSecret(pool, purpose, 1)).rejects.toThrow(/^2 API keys/);
      });
      expect(notices).toEqual([]);
      await owner.query(`update api_keys set status = 'revoked'`);
      await retireInstallationSecret(pool, purpose, 1);
      expect((await readSecrets(pool)).filter((row) => row.retiredAt !== null)).toMatchObject([
        { purpose, generation: 1 },
      ]);
    },
  );
});

describe('a key that is made while its generation is retired', () => {
  beforeEach(async () => {
    await rotateInstallationSecret(pool, masterKey, 'api-key-digest');
    await letTimePass();
  });

  // Attack on ourselves: the retirement counts before the other transaction commits, and the new key is dead at birth.
  test('is waited for and counted when it came first', async () => {
    await owner.query('begin');
    await insertKey(owner, { digest: 1, check: 1 });
    const retiring = refusal(retireInstallationSecret(pool, 'api-key-digest', 1));
    const first = await Promise.race([retiring, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]);
    await owner.query('commit');
    expect(first).toBe('waits');
    expect(await retiring).toBe('in_use');
  });

  test('is refused when it comes second', async () => {
    await retireInstallationSecret(pool, 'api-key-digest', 1);
    await expect(insertKey(owner, { digest: 1, check: 1 })).rejects.toMatchObject({ code: '55000' });
    await insertKey(owner, { digest: 2, check: 1 });
  });

  test('is never left without its secret, over many tries at once', async () => {
    const creators = Array.from(
      { length: 8 },
      () => new pg.Client({ connectionString: database.ownerUrl, options: '-c search_path=gatelodge' }),
    );
    await Promise.all(creators.map((client) => client.connect()));
    for (let round = 0; round < 20; round++) {
      await owner.query('delete from api_keys');
      await owner.query('update installation_secrets set retired_at = null');
      await Promise.allSettled([
        ...creators.slice(0, 4).map((client) => insertKey(client, { digest: 1, check: 1 })),
        retireInstallationSecret(pool, 'api-key-digest', 1),
        ...creators.slice(4).map((client) => insertKey(client, { digest: 1, check: 1 })),
      ]);
      const { rows } = await owner.query(`select
        (select count(*)::int from api_keys where digest_generation = 1) as keys,
        (select retired_at is not null from installation_secrets where purpose = 'api-key-digest' and generation = 1) as is_retired`);
      const { keys, is_retired } = rows[0] as { keys: number; is_retired: boolean };
      expect(is_retired ? keys === 0 : keys > 0).toBe(true);
    }
    await Promise.all(creators.map((client) => client.end()));
  });

  test('needs no check generation when it has no check part', async () => {
    await insertKey(owner, { digest: 2, check: 0 });
    await expect(insertKey(owner, { digest: 0, check: 1 })).rejects.toMatchObject({ code: '55000' });
  });
});

describe('rewrap', () => {
  test('changes the wrapping of every generation and no secret', async () => {
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await letTimePass();
    await retireInstallationSecret(pool, 'cursor', 1);
    const before = await loadInstallationSecrets(pool, masterKey);
    const next = newMasterKey();
    expect(await rewrapInstallationSecrets(pool, masterKey, next)).toBe(secretPurposes.length + 1);

    const after = await loadInstallationSecrets(pool, next);
    expect(after.hexKey('cursor', 2)).toBe(before.hexKey('cursor', 2));
    expect(after.hexKey('api-key-digest', 1)).toBe(before.hexKey('api-key-digest', 1));
    await expect(loadInstallationSecrets(pool, masterKey)).rejects.toThrow(MasterKeyError);
  });

  test('done twice, or by two at once, does it once', async () => {
    const next = newMasterKey();
    const counts = await Promise.all([
      rewrapInstallationSecrets(pool, masterKey, next),
      rewrapInstallationSecrets(pool, masterKey, next),
    ]);
    expect(counts.sort((a, b) => a - b)).toEqual([0, secretPurposes.length]);
    expect(await rewrapInstallationSecrets(pool, masterKey, next)).toBe(0);
  });

  test('from a key that is not the database’s changes nothing', async () => {
    const kept = await stored();
    await expect(rewrapInstallationSecrets(pool, newMasterKey(), newMasterKey())).rejects.toThrow(
      MasterKeyError,
    );
    expect(await stored()).toBe(kept);
  });

  test('with one damaged row changes nothing', async () => {
    await owner.query(
      `update installation_secrets set wrapped = set_byte(wrapped, 45, get_byte(wrapped, 45) # 128) where purpose = 'cursor'`,
    );
    const kept = await stored();
    await expect(rewrapInstallationSecrets(pool, masterKey, newMasterKey())).rejects.toThrow(
      DamagedSecretError,
    );
    expect(await stored()).toBe(kept);
  });

  test('under traffic fails no reader and no rotation that knows both keys', async () => {
    const next = newMasterKey();
    const both = new MasterKey(randomBytes(32), masterKey.source, next);
    await rewrapInstallationSecrets(pool, masterKey, both);
    const secrets = await loadInstallationSecrets(pool, both);
    let isDone = false;
    const traffic = Array.from({ length: 4 }, async () => {
      while (!isDone) {
        await secrets.reload();
        expect((await loadInstallationSecrets(pool, both)).hexKey('cursor', 1)).toBe(
          secrets.hexKey('cursor', 1),
        );
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await rewrapInstallationSecrets(pool, both, next);
    await new Promise((resolve) => setTimeout(resolve, 50));
    isDone = true;
    await Promise.all(traffic);
    expect(secrets.masterKey.equals(next)).toBe(true);
  });
});
