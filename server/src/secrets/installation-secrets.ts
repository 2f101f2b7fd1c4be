import { dirname } from 'node:path';
import type pg from 'pg';
import {
  insertSecret,
  inTransaction,
  isLive,
  lockSecrets,
  nextGeneration,
  readSecrets,
  type SecretRow,
} from './installation-secrets-store.ts';
import { adoptNextMasterKey, type MasterKey, MasterKeyError, readMasterKeyFile } from './master-key.ts';
import { type SecretGeneration, type SecretPurpose, secretPurposes } from './secret-purpose.ts';
import { newSecret, unwrapSecrets, wrapSecret } from './secret-wrapping.ts';

/**
 * Seconds from the making of a generation to its first use. A node that has not heard of it yet would take a key made
 * under it for a forgery; by then every node that is in touch with Postgres has read it.
 */
export const publishedSeconds = 10;

/**
 * The secrets that all nodes share, unwrapped and in memory. A reload replaces them all at once; where it fails, the
 * old ones stay.
 */
export class InstallationSecrets {
  readonly #pool: pg.Pool;
  readonly #monotonicMs: () => number;
  #reloading: Promise<void> = Promise.resolve();
  #opened: OpenedSecrets;

  /** For `loadInstallationSecrets`. */
  constructor(pool: pg.Pool, opened: OpenedSecrets, monotonicMs: () => number) {
    this.#pool = pool;
    this.#monotonicMs = monotonicMs;
    this.#opened = opened;
  }

  /** The master key that opens this database; while one is changed for another it may be the next one. */
  get masterKey(): MasterKey {
    return this.#opened.masterKey;
  }

  /** The newest generation that every node knows: what is made now is made with it. */
  current(purpose: SecretPurpose): SecretGeneration {
    const { newestFirst } = this.#opened.secrets[purpose];
    const now = this.#monotonicMs();
    return newestFirst.find((secret) => secret.usedFromMs <= now) ?? newestFirst.at(-1)!;
  }

  /** Every generation that is not retired, newest first: what was made before was made with one of them. */
  generations(purpose: SecretPurpose): readonly SecretGeneration[] {
    return this.#opened.secrets[purpose].newestFirst;
  }

  /** One generation's key; undefined where it is retired or was never made. */
  key(purpose: SecretPurpose, generation: number): Buffer | undefined {
    return this.#opened.secrets[purpose].byGeneration.get(generation)?.key;
  }

  /** One generation's key in hexadecimal, made once and kept. */
  hexKey(purpose: SecretPurpose, generation: number): string | undefined {
    return this.#opened.secrets[purpose].byGeneration.get(generation)?.hexKey;
  }

  /**
   * Reads the secrets again: after a notice `{"kind":"secrets"}` and whenever notices may have been missed. When it
   * returns, everything committed before the call is known.
   *
   * @throws MasterKeyError, DamagedSecretError, SecretFileError or the database's error; the secrets in memory stay.
   */
  reload(): Promise<void> {
    // One after the other: a read that is under way may have missed the change that this call is about.
    const read = this.#reloading.then(async () => {
      this.#opened = await this.#read();
    });
    this.#reloading = read.catch(() => undefined);
    return read;
  }

  async #read(): Promise<OpenedSecrets> {
    const { masterKey } = this;
    try {
      return await openSecrets(this.#pool, masterKey, this.#monotonicMs);
    } catch (error) {
      // Somebody may have changed the master key; a file then shows the new one, an environment needs a restart.
      if (!(error instanceof MasterKeyError) || masterKey.source.kind !== 'file') throw error;
      const onDisk = await readMasterKeyFile(dirname(masterKey.source.path));
      return openSecrets(this.#pool, onDisk, this.#monotonicMs);
    }
  }
}

/**
 * Reads the installation's secrets, making the first generation of each where there is none. Any number of nodes may
 * do this at once on an empty database and all get the same. Where the change to another master key was interrupted
 * after the database had changed, this ends it.
 *
 * @param monotonicMs a clock that never goes back, for tests.
 * @throws MasterKeyError when the database was made with another master key; nothing is written then.
 * @throws DamagedSecretError when a row does not open under the right key.
 */
export async function loadInstallationSecrets(
  pool: pg.Pool,
  masterKey: MasterKey,
  monotonicMs: () => number = () => performance.now(),
): Promise<InstallationSecrets> {
  return new InstallationSecrets(pool, await openSecrets(pool, masterKey, monotonicMs), monotonicMs);
}

interface UnwrappedSecret extends SecretGeneration {
  hexKey: string;
  usedFromMs: number;
}

interface UnwrappedPurpose {
  newestFirst: UnwrappedSecret[];
  byGeneration: Map<number, UnwrappedSecret>;
}

interface OpenedSecrets {
  masterKey: MasterKey;
  secrets: Record<SecretPurpose, UnwrappedPurpose>;
}

async function openSecrets(
  pool: pg.Pool,
  masterKey: MasterKey,
  monotonicMs: () => number,
): Promise<OpenedSecrets> {
  const readAtMs = monotonicMs();
  try {
    return { masterKey, secrets: arrange(await readOrMake(pool, masterKey), readAtMs) };
  } catch (error) {
    const next = masterKey.successor;
    if (!(error instanceof MasterKeyError) || next === undefined) throw error;
    const rows = await readOrMake(pool, next).catch((nextError: unknown) => {
      throw nextError instanceof MasterKeyError ? error : nextError;
    });
    return { masterKey: await settle(next, masterKey), secrets: arrange(rows, readAtMs) };
  }
}

/** The next key has proved to be the database's: in a data directory it now takes the old one's place. */
async function settle(next: MasterKey, old: MasterKey): Promise<MasterKey> {
  if (next.source.kind !== 'file' || old.source.kind !== 'file') return next;
  return adoptNextMasterKey(dirname(old.source.path));
}

type LiveSecret = SecretRow & { key: Buffer };

async function readOrMake(pool: pg.Pool, masterKey: MasterKey): Promise<LiveSecret[]> {
  const found = unwrapSecrets(masterKey, (await readSecrets(pool)).filter(isLive));
  if (missingPurposes(found).length === 0) return found;
  return inTransaction(pool, async (client) => {
    await lockSecrets(client);
    // Once more under the lock: another node, perhaps with another master key, may have been first.
    const rows = await readSecrets(client);
    for (const purpose of missingPurposes(unwrapSecrets(masterKey, rows.filter(isLive)))) {
      const generation = nextGeneration(rows, purpose);
      await insertSecret(
        client,
        purpose,
        generation,
        wrapSecret(masterKey, purpose, generation, newSecret()),
      );
    }
    return unwrapSecrets(masterKey, (await readSecrets(client)).filter(isLive));
  });
}

function missingPurposes(rows: readonly SecretRow[]): SecretPurpose[] {
  return secretPurposes.filter((purpose) => !rows.some((row) => row.purpose === purpose));
}

/** Purposes of a later release that shares this database are passed over. */
function arrange(rows: readonly LiveSecret[], readAtMs: number): OpenedSecrets['secrets'] {
  const entries = secretPurposes.map((purpose) => {
    const newestFirst = rows
      .filter((row) => row.purpose === purpose)
      .sort((a, b) => b.generation - a.generation)
      .map(({ generation, key, ageSeconds }) => ({
        generation,
        key,
        hexKey: key.toString('hex'),
        usedFromMs: readAtMs + (publishedSeconds - ageSeconds) * 1000,
      }));
    return [
      purpose,
      { newestFirst, byGeneration: new Map(newestFirst.map((row) => [row.generation, row])) },
    ] as const;
  });
  return Object.fromEntries(entries) as OpenedSecrets['secrets'];
}
