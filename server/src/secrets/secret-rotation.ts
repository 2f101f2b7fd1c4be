import type pg from 'pg';
import { StartError } from '../supervisor/start-error.ts';
import {
  countKeysOfGeneration,
  insertSecret,
  inTransaction,
  isLive,
  lockSecrets,
  lockUseOfPurpose,
  nextGeneration,
  notifySecretsChanged,
  readSecrets,
  retireSecret,
  type SecretRow,
  updateWrapped,
} from './installation-secrets-store.ts';
import { type MasterKey, MasterKeyError } from './master-key.ts';
import { lastGeneration, type SecretPurpose } from './secret-purpose.ts';
import { newSecret, unwrapSecrets, wrapSecret } from './secret-wrapping.ts';

/** A generation whose successor is younger than this is not retired: some node may still be making keys under it. */
export const settledSeconds = 60;

/** A rotation or retirement was refused. Nothing was changed. */
export class SecretRotationError extends StartError {
  readonly code: 'exhausted' | 'unknown' | 'retired' | 'current' | 'unsettled' | 'in_use';

  constructor(code: SecretRotationError['code'], what: string, hint: string) {
    super(what, { hint, exitCode: 1 });
    this.code = code;
  }
}

/**
 * Makes a new generation of a secret and tells every node. What is made from now on (to be exact, `publishedSeconds`
 * from now) uses it; what was made before goes on working until its generation is retired.
 *
 * @returns the new generation's number.
 * @throws MasterKeyError, DamagedSecretError when the present generations do not open; SecretRotationError
 *   `exhausted` after the last generation.
 */
export async function rotateInstallationSecret(
  pool: pg.Pool,
  masterKey: MasterKey,
  purpose: SecretPurpose,
): Promise<number> {
  return inTransaction(pool, async (client) => {
    await lockSecrets(client);
    const rows = await readSecrets(client);
    // Adding a row under a master key that does not open the others would split the installation in two.
    unwrapSecrets(masterKey, rows.filter(isLive));
    const generation = nextGeneration(rows, purpose);
    if (generation > lastGeneration) {
      throw new SecretRotationError(
        'exhausted',
        `${purpose} has had all of its ${lastGeneration} generations.`,
        'It can be rotated no more.',
      );
    }
    await insertSecret(client, purpose, generation, wrapSecret(masterKey, purpose, generation, newSecret()));
    await notifySecretsChanged(client);
    return generation;
  });
}

const keysNeed = { what: 'API keys that are not revoked', remedy: 'Rotate or revoke them first.' };
const needs: Partial<Record<SecretPurpose, typeof keysNeed>> = {
  'signing-key': {
    what: 'signing keys of issuers',
    remedy: 'Rotate them first, and wait until they have left the key sets of their issuers.',
  },
  'refresh-token': {
    what: 'refresh tokens that have not expired',
    remedy: 'Try again when they have: sessions that go on have tokens of the newest generation by then.',
  },
  oidc: {
    what: 'browser logins, grants and tokens of OIDC clients that have not expired',
    remedy: 'Try again when they have: what is written from now on is of the newest generation.',
  },
  'client-secret': {
    what: 'secrets of clients that have not expired',
    remedy: 'Rotate the secrets of those clients first, and wait until the grace of the old ones ends.',
  },
  mail: {
    what: 'mails that wait or can be read',
    remedy: 'Try again when they are gone: in a day, at the latest.',
  },
};

/**
 * Retires a generation: from then on no node accepts anything made with it. Refused while an API key that is not
 * revoked needs it.
 *
 * A key that is being made at the same moment is either counted here or refused there, never orphaned: both sides
 * take the purpose's lock, the one that makes keys in the trigger `live_secret_generations`.
 *
 * @throws SecretRotationError with the reason.
 */
export async function retireInstallationSecret(
  pool: pg.Pool,
  purpose: SecretPurpose,
  generation: number,
): Promise<void> {
  await inTransaction(pool, async (client) => {
    await lockSecrets(client);
    await lockUseOfPurpose(client, purpose);
    const reason = findObstacle(await readSecrets(client), purpose, generation);
    if (reason) throw reason;
    const keys = await countKeysOfGeneration(client, purpose, generation);
    if (keys > 0 || !(await retireSecret(client, purpose, generation))) {
      const { what, remedy } = needs[purpose] ?? keysNeed;
      throw new SecretRotationError(
        'in_use',
        `${keys} ${what} need ${purpose} generation ${generation}.`,
        remedy,
      );
    }
    await notifySecretsChanged(client);
  });
}

/**
 * Wraps every secret anew under another master key, retired ones too: all of them or, where one does not open, none.
 * Running nodes go on with what they have unwrapped.
 *
 * @returns how many were wrapped anew; 0 where all are under the new key already.
 * @throws MasterKeyError when they are under neither key; DamagedSecretError when one does not open.
 */
export async function rewrapInstallationSecrets(
  pool: pg.Pool,
  oldKey: MasterKey,
  newKey: MasterKey,
): Promise<number> {
  return inTransaction(pool, async (client) => {
    await lockSecrets(client);
    const rows = await readSecrets(client);
    if (isUnder(newKey, rows)) return 0;
    for (const { purpose, generation, key } of unwrapSecrets(oldKey, rows)) {
      await updateWrapped(client, purpose, generation, wrapSecret(newKey, purpose, generation, key));
    }
    // Once the old key is gone there is no second try.
    unwrapSecrets(newKey, await readSecrets(client));
    await notifySecretsChanged(client);
    return rows.length;
  });
}

function isUnder(masterKey: MasterKey, rows: readonly SecretRow[]): boolean {
  try {
    unwrapSecrets(masterKey, rows);
    return true;
  } catch (error) {
    if (error instanceof MasterKeyError) return false;
    throw error;
  }
}

function findObstacle(
  rows: readonly SecretRow[],
  purpose: SecretPurpose,
  generation: number,
): SecretRotationError | undefined {
  const generations = rows.filter((row) => row.purpose === purpose);
  const wanted = generations.find((row) => row.generation === generation);
  const name = `${purpose} generation ${generation}`;
  if (wanted === undefined)
    return new SecretRotationError('unknown', `There is no ${name}.`, 'See `gatelodge secrets list`.');
  if (!isLive(wanted))
    return new SecretRotationError('retired', `${name} is retired already.`, 'Nothing is left to do.');
  const newer = generations.filter((row) => row.generation > generation && isLive(row));
  if (newer.length === 0) {
    return new SecretRotationError(
      'current',
      `${name} is the newest.`,
      `Run \`gatelodge secrets rotate ${purpose}\` first.`,
    );
  }
  if (!newer.some((row) => row.ageSeconds >= settledSeconds)) {
    return new SecretRotationError(
      'unsettled',
      `${name} was replaced less than ${settledSeconds} seconds ago, and some node may not know it yet.`,
      'Try again in a minute.',
    );
  }
  return undefined;
}
