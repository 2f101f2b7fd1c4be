import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createPool } from '../postgres/pool.ts';
import { silentLog } from '../supervisor/log.ts';
import { loadInstallationSecrets, publishedSeconds } from './installation-secrets.ts';
import { readSecrets } from './installation-secrets-store.ts';
import {
  MasterKey,
  MasterKeyError,
  readMasterKeyFile,
  resolveMasterKey,
  writeNextMasterKey,
} from './master-key.ts';
import { secretPurposes } from './secret-purpose.ts';
import { rewrapInstallationSecrets, rotateInstallationSecret } from './secret-rotation.ts';
import { DamagedSecretError } from './secret-wrapping.ts';

let database: TestDatabase;
let pool: pg.Pool;
let masterKey: MasterKey;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.appUrl, max: 20, applicationName: 'test', log: silentLog });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  await asOwner('delete from installation_secrets');
  masterKey = newMasterKey();
});

function newMasterKey(successor?: MasterKey): MasterKey {
  return new MasterKey(randomBytes(32), { kind: 'environment', variable: 'GATELODGE_MASTER_KEY' }, successor);
}

async function asOwner(sql: string, values: unknown[] = []): Promise<void> {
  const { default: driver } = await import('pg');
  const client = new driver.Client({
    connectionString: database.ownerUrl,
    options: '-c search_path=gatelodge',
  });
  await client.connect();
  await client.query(sql, values);
  await client.end();
}

/** Everything that is stored, to be compared with what is stored later. */
async function stored(): Promise<string> {
  const rows = await readSecrets(pool);
  return JSON.stringify(
    rows.map((row) => ({ ...row, wrapped: row.wrapped.toString('hex'), ageSeconds: undefined })),
  );
}

describe('the first start', () => {
  test('makes one generation of every secret', async () => {
    const secrets = await loadInstallationSecrets(pool, masterKey);
    const keys = secretPurposes.map((purpose) => {
      const { generation, key } = secrets.current(purpose);
      expect(generation).toBe(1);
      expect(key).toHaveLength(32);
      expect(secrets.key(purpose, 1)).toEqual(key);
      expect(secrets.hexKey(purpose, 1)).toBe(key.toString('hex'));
      expect(secrets.generations(purpose)).toHaveLength(1);
      return key.toString('hex');
    });
    expect(new Set(keys).size).toBe(secretPurposes.length);
  });

  test('gives 50 that start at once the same secrets, in one generation', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => loadInstallationSecrets(pool, masterKey)));
    for (const purpose of secretPurposes) {
      expect(new Set(all.map((secrets) => secrets.hexKey(purpose, 1))).size).toBe(1);
    }
    expect((await readSecrets(pool)).map((row) => row.generation)).toEqual(secretPurposes.map(() => 1));
  });

  // Two nodes are set up with different keys by mistake: the database must not end up half under each.
  test('with different master keys at once lets one key win and refuses every other', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => loadInstallationSecrets(pool, newMasterKey())),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(MasterKeyError);
    }
    expect(await readSecrets(pool)).toHaveLength(secretPurposes.length);
  });

  test('of a release with one more secret adds only that one', async () => {
    const before = await loadInstallationSecrets(pool, masterKey);
    await asOwner(`delete from installation_secrets where purpose = 'cursor'`);
    const after = await loadInstallationSecrets(pool, masterKey);
    expect(after.hexKey('api-key-digest', 1)).toBe(before.hexKey('api-key-digest', 1));
    expect(after.hexKey('cursor', 1)).not.toBe(before.hexKey('cursor', 1));
  });
});

test('a later start finds the same secrets', async () => {
  const first = await loadInstallationSecrets(pool, masterKey);
  const kept = await stored();
  const second = await loadInstallationSecrets(pool, masterKey);
  for (const purpose of secretPurposes) expect(second.hexKey(purpose, 1)).toBe(first.hexKey(purpose, 1));
  expect(await stored()).toBe(kept);
});

test('generations that do not exist are undefined', async () => {
  const secrets = await loadInstallationSecrets(pool, masterKey);
  for (const generation of [0, 2, 63, -1, 1.5]) {
    expect(secrets.key('api-key-check', generation)).toBeUndefined();
    expect(secrets.hexKey('api-key-check', generation)).toBeUndefined();
  }
});

test('rows of a later release are passed over', async () => {
  await loadInstallationSecrets(pool, masterKey);
  await asOwner(
    `insert into installation_secrets (purpose, generation, wrapped, retired_at) values ('future', 1, 'x', now())`,
  );
  await expect(loadInstallationSecrets(pool, masterKey)).resolves.toBeDefined();
});

describe('another master key', () => {
  test('is refused with both fingerprints and what to do, and nothing is written', async () => {
    await loadInstallationSecrets(pool, masterKey);
    const kept = await stored();
    const wrong = newMasterKey();
    const error = (await loadInstallationSecrets(pool, wrong).catch((caught: unknown) => caught)) as Error;
    expect(error).toBeInstanceOf(MasterKeyError);
    expect(error.message).toContain(masterKey.fingerprint);
    expect(error.message).toContain(wrong.fingerprint);
    expect(error.message).toContain('Set GATELODGE_MASTER_KEY');
    expect(await stored()).toBe(kept);
  });

  test('is refused also where a secret is missing, and adds none', async () => {
    await loadInstallationSecrets(pool, masterKey);
    await asOwner(`delete from installation_secrets where purpose = 'cursor'`);
    const kept = await stored();
    await expect(loadInstallationSecrets(pool, newMasterKey())).rejects.toThrow(MasterKeyError);
    expect(await stored()).toBe(kept);
  });
});

describe('a damaged row', () => {
  const damages = {
    'a flipped bit':
      'update installation_secrets set wrapped = set_byte(wrapped, 40, get_byte(wrapped, 40) # 1)',
    'a flipped bit of the key id':
      'update installation_secrets set wrapped = set_byte(wrapped, 3, get_byte(wrapped, 3) # 1)',
    'another version': 'update installation_secrets set wrapped = set_byte(wrapped, 0, 2)',
    'a row that was cut': 'update installation_secrets set wrapped = substring(wrapped for 50)',
    'an empty row': `update installation_secrets set wrapped = ''`,
    // Attack: whoever can write the table puts a secret they know (of another purpose) in a secret's place.
    'the row of another purpose': `update installation_secrets set wrapped =
      (select wrapped from installation_secrets where purpose = 'cursor')`,
  };

  test.each(Object.entries(damages))(
    '%s is refused, named, and nothing is written',
    async (_name, damage) => {
      await loadInstallationSecrets(pool, masterKey);
      await asOwner(`${damage} where purpose = 'api-key-check'`);
      const kept = await stored();
      const error = (await loadInstallationSecrets(pool, masterKey).catch(
        (caught: unknown) => caught,
      )) as Error;
      expect(error).toBeInstanceOf(DamagedSecretError);
      expect(error.message).toContain('api-key-check');
      expect(await stored()).toBe(kept);
    },
  );
});

describe('a new generation', () => {
  test('is known after a reload but used only once every node knows it', async () => {
    let nowMs = 0;
    const secrets = await loadInstallationSecrets(pool, masterKey, () => nowMs);
    await rotateInstallationSecret(pool, masterKey, 'api-key-digest');
    await secrets.reload();
    expect(secrets.generations('api-key-digest').map((secret) => secret.generation)).toEqual([2, 1]);
    expect(secrets.key('api-key-digest', 2)).toHaveLength(32);
    expect(secrets.current('api-key-digest').generation).toBe(1);
    expect(secrets.current('api-key-check').generation).toBe(1);
    nowMs = publishedSeconds * 1000 + 1;
    expect(secrets.current('api-key-digest').generation).toBe(2);
  });

  test('is used at once by a node that starts later', async () => {
    await loadInstallationSecrets(pool, masterKey);
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await asOwner(`update installation_secrets set created_at = created_at - interval '1 hour'`);
    expect((await loadInstallationSecrets(pool, masterKey)).current('cursor').generation).toBe(2);
  });
});

describe('a reload', () => {
  test('that fails leaves the secrets usable, and the next one mends it', async () => {
    const secrets = await loadInstallationSecrets(pool, masterKey);
    const key = secrets.hexKey('cursor', 1);
    await asOwner(`create temp table nothing (); alter table installation_secrets rename to hidden`);
    await expect(secrets.reload()).rejects.toThrow();
    expect(secrets.hexKey('cursor', 1)).toBe(key);
    await asOwner('alter table hidden rename to installation_secrets');
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await secrets.reload();
    expect(secrets.key('cursor', 2)).toBeDefined();
  });

  test('knows what was committed before it was asked for, however many run', async () => {
    const secrets = await loadInstallationSecrets(pool, masterKey);
    const first = secrets.reload();
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await Promise.all([first, secrets.reload()]);
    expect(secrets.key('cursor', 2)).toBeDefined();
  });

  test('forgets a generation that was retired', async () => {
    const secrets = await loadInstallationSecrets(pool, masterKey);
    await rotateInstallationSecret(pool, masterKey, 'cursor');
    await asOwner(
      `update installation_secrets set retired_at = now() where purpose = 'cursor' and generation = 1`,
    );
    await secrets.reload();
    expect(secrets.key('cursor', 1)).toBeUndefined();
    expect(secrets.current('cursor').generation).toBe(2);
  });
});

describe('while the master key is changed', () => {
  test('a node with both keys starts before and after the change', async () => {
    const next = newMasterKey();
    const both = new MasterKey(randomBytes(32), masterKey.source, next);
    const before = await loadInstallationSecrets(pool, both);
    expect(before.masterKey.equals(both)).toBe(true);
    await rewrapInstallationSecrets(pool, both, next);
    const after = await loadInstallationSecrets(pool, both);
    expect(after.masterKey.equals(next)).toBe(true);
    await before.reload();
    expect(before.masterKey.equals(next)).toBe(true);
    for (const purpose of secretPurposes) expect(after.hexKey(purpose, 1)).toBe(before.hexKey(purpose, 1));
  });

  test('two keys that are both wrong are refused, naming the first', async () => {
    await loadInstallationSecrets(pool, masterKey);
    const wrong = newMasterKey(newMasterKey());
    await expect(loadInstallationSecrets(pool, wrong)).rejects.toThrow(wrong.fingerprint);
  });

  test('of a data directory, a start after a kill at any step finishes it', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-rotation-'));
    const settings = { mode: 'development' as const, dataDir };
    try {
      const old = await resolveMasterKey(settings);
      const { current } = await loadInstallationSecrets(pool, old).then((secrets) => ({
        current: secrets.hexKey('cursor', 1),
      }));

      const next = await writeNextMasterKey(dataDir);
      const killedBeforeCommit = await loadInstallationSecrets(pool, await resolveMasterKey(settings));
      expect(killedBeforeCommit.masterKey.equals(old)).toBe(true);

      await rewrapInstallationSecrets(pool, old, next);
      const killedBeforeRename = await loadInstallationSecrets(pool, await resolveMasterKey(settings));
      expect(killedBeforeRename.masterKey.equals(next)).toBe(true);
      expect(killedBeforeRename.hexKey('cursor', 1)).toBe(current);
      const onDisk = await readMasterKeyFile(dataDir);
      expect(onDisk.equals(next)).toBe(true);
      expect(onDisk.successor).toBeUndefined();

      // A node that has run through all of this reads the new key from its file when it next reloads.
      await rotateInstallationSecret(pool, next, 'cursor');
      await killedBeforeCommit.reload();
      expect(killedBeforeCommit.masterKey.equals(next)).toBe(true);
      expect(killedBeforeCommit.key('cursor', 2)).toBeDefined();
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
