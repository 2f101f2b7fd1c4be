import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyText, parseKeyText } from './key-text.ts';
import {
  adoptNextMasterKey,
  MasterKey,
  MasterKeyError,
  readMasterKeyFile,
  resolveMasterKey,
  writeNextMasterKey,
} from './master-key.ts';
import { resolveMetricsToken } from './metrics-token.ts';
import { SecretFileError } from './secret-file.ts';

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-master-key-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const development = () => ({ mode: 'development' as const, dataDir });

describe('text of a key', () => {
  test('is 43 characters of base64url and reads as 32 bytes', () => {
    const text = generateKeyText();
    expect(text).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(parseKeyText(text)).toEqual({ key: Buffer.from(text, 'base64url') });
    expect(generateKeyText()).not.toBe(text);
  });

  test('is refused in every other spelling, without being repeated', () => {
    const text = Buffer.alloc(32, 0xfb).toString('base64url');
    const others = [
      '',
      text.slice(1),
      `${text}A`,
      `${text}=`,
      ` ${text}`,
      `${text}\n`,
      Buffer.alloc(32, 0xfb).toString('base64'),
      Buffer.alloc(32, 0xfb).toString('hex'),
      // Stray bits in the last character.
      `${text.slice(0, -1)}t`,
      text.replace('-', '-\u0000'),
    ];
    for (const other of others) {
      const parsed = parseKeyText(other);
      expect(parsed).toHaveProperty('problem');
      if (other) expect(JSON.stringify(parsed)).not.toContain(other.trim());
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (noise) => {
        expect(parseKeyText(noise)).toHaveProperty('problem');
      }),
    );
  });
});

describe('from the environment', () => {
  test('is that key, and nothing is written', async () => {
    const masterKey = generateKeyText();
    const resolved = await resolveMasterKey({ ...development(), masterKey });
    expect(resolved.source).toEqual({ kind: 'environment', variable: 'GATELODGE_MASTER_KEY' });
    expect(resolved.equals(await resolveMasterKey({ mode: 'production', dataDir, masterKey }))).toBe(true);
    expect(await readdir(dataDir)).toEqual([]);
  });

  test('knows the key that it is being changed to', async () => {
    const keys = { masterKey: generateKeyText(), newMasterKey: generateKeyText() };
    const resolved = await resolveMasterKey({ ...development(), ...keys });
    const changed = await resolveMasterKey({ ...development(), masterKey: keys.newMasterKey });
    expect(resolved.successor?.equals(changed)).toBe(true);
  });

  test('is required in production: none is made', async () => {
    await expect(resolveMasterKey({ mode: 'production', dataDir })).rejects.toThrow(MasterKeyError);
    expect(await readdir(dataDir)).toEqual([]);
  });

  test('is refused when it is malformed, without being repeated', async () => {
    const error = await resolveMasterKey({ ...development(), masterKey: 'canary' }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(MasterKeyError);
    expect(String(error)).toContain('GATELODGE_MASTER_KEY');
    expect(String(error)).not.toContain('canary');
  });
});

describe('from the data directory', () => {
  test('is made once, readable by its owner only, and found again', async () => {
    const made = await resolveMasterKey(development());
    expect(made.source).toEqual({ kind: 'file', path: join(dataDir, 'master-key') });
    expect((await stat(join(dataDir, 'master-key'))).mode & 0o777).toBe(0o600);
    expect((await resolveMasterKey(development())).equals(made)).toBe(true);
    expect(await readdir(dataDir)).toEqual(['master-key']);
  });

  test('is the same for many that start at once', async () => {
    const keys = await Promise.all(Array.from({ length: 20 }, () => resolveMasterKey(development())));
    expect(new Set(keys.map((key) => key.fingerprint)).size).toBe(1);
  });

  test('is refused when others may read it', async () => {
    await resolveMasterKey(development());
    await chmod(join(dataDir, 'master-key'), 0o644);
    await expect(resolveMasterKey(development())).rejects.toThrow(SecretFileError);
  });

  test('is refused when it was cut short, and left as it is', async () => {
    const text = generateKeyText().slice(0, 20);
    await writeFile(join(dataDir, 'master-key'), text, { mode: 0o600 });
    const error = await resolveMasterKey(development()).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(MasterKeyError);
    expect(String(error)).not.toContain(text);
    expect(await readFile(join(dataDir, 'master-key'), 'utf8')).toBe(text);
  });
});

describe('the change to another key of a data directory', () => {
  test('shows the next key as successor until it takes the place', async () => {
    const old = await resolveMasterKey(development());
    const next = await writeNextMasterKey(dataDir);
    const between = await readMasterKeyFile(dataDir);
    expect(between.equals(old)).toBe(true);
    expect(between.successor?.equals(next)).toBe(true);

    const adopted = await adoptNextMasterKey(dataDir);
    expect(adopted.equals(next)).toBe(true);
    expect(adopted.source).toEqual(old.source);
    expect(adopted.successor).toBeUndefined();
    expect((await adoptNextMasterKey(dataDir)).equals(next)).toBe(true);
  });

  // A next key may be the database's already; replacing it would lose the database.
  test('never replaces a next key', async () => {
    await resolveMasterKey(development());
    const next = await writeNextMasterKey(dataDir);
    expect((await writeNextMasterKey(dataDir)).equals(next)).toBe(true);
    await expect(writeNextMasterKey(dataDir, generateKeyText())).rejects.toThrow(MasterKeyError);
  });
});

test('a master key shows itself in no way', async () => {
  const bytes = Buffer.alloc(32, 0xab);
  const masterKey = new MasterKey(bytes, { kind: 'environment', variable: 'X' });
  const shown = `${inspect(masterKey, { depth: 9, showHidden: true })} ${JSON.stringify(masterKey)} ${String(Object.entries(masterKey))}`;
  for (const form of [bytes.toString('hex'), bytes.toString('base64url'), 'ab ab ab', '171']) {
    expect(shown).not.toContain(form);
  }
  expect(masterKey.fingerprint).toMatch(/^[0-9a-f]{16}$/);
  expect(masterKey.subkey('a')).not.toEqual(bytes);
});

describe('token of the metrics', () => {
  test('is that of the environment', async () => {
    expect(await resolveMetricsToken({ mode: 'production', dataDir, metricsToken: 'x'.repeat(20) })).toBe(
      'x'.repeat(20),
    );
  });

  test('is made once in development and never in production', async () => {
    const made = await resolveMetricsToken(development());
    expect(made).toMatch(/^[0-9a-f]{64}$/);
    expect(await resolveMetricsToken(development())).toBe(made);
    expect((await stat(join(dataDir, 'metrics-token'))).mode & 0o777).toBe(0o600);
    expect(await resolveMetricsToken({ mode: 'production', dataDir })).toBeUndefined();
  });
});
