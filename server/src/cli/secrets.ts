import { Argument, type Command, InvalidArgumentError } from 'commander';
import { loadInstallationSecrets, publishedSeconds } from '../secrets/installation-secrets.ts';
import { countKeysOfGeneration, isLive, readSecrets } from '../secrets/installation-secrets-store.ts';
import { generateKeyText } from '../secrets/key-text.ts';
import { findMasterKey, rotateMasterKey } from '../secrets/master-key-rotation.ts';
import { type SecretPurpose, secretPurposes } from '../secrets/secret-purpose.ts';
import { retireInstallationSecret, rotateInstallationSecret } from '../secrets/secret-rotation.ts';
import { readSettings } from '../supervisor/read-settings.ts';
import { withCommandPool } from './command-database.ts';

/**
 * Adds `gatelodge secrets …` and `gatelodge master-key …`. They print what they did, never a secret; only
 * `master-key generate` prints one, which nothing uses yet.
 *
 * Their actions throw StartError where the operator can mend something.
 */
export function registerSecretsCommands(program: Command): void {
  const secrets = program
    .command('secrets')
    .description('The secrets that all nodes of an installation share.');
  secrets
    .command('list')
    .description('Show purposes and generations, and how many API keys need each.')
    .option('--json', 'as JSON', false)
    .action(({ json }: { json: boolean }) => listSecrets(json));
  secrets
    .command('rotate')
    .description('Make a new generation; what was made with the ones before goes on working.')
    .addArgument(purposeArgument())
    .action(rotateSecret);
  secrets
    .command('retire')
    .description('Stop accepting what was made with a generation; refused while API keys need it.')
    .addArgument(purposeArgument())
    .argument('<generation>', 'its number', parseGeneration)
    .action(retireSecret);

  const masterKey = program.command('master-key').description('The key that wraps those secrets.');
  masterKey
    .command('rotate')
    .description('Change to GATELODGE_NEW_MASTER_KEY, or to a fresh key where the present one is a file.')
    .action(changeMasterKey);
  masterKey
    .command('generate')
    .description('Print a fresh key.')
    .action(() => print(generateKeyText()));
}

async function listSecrets(isJson: boolean): Promise<void> {
  await withCommandPool(readSettings({ withEnvironmentFile: true }), async (pool) => {
    const rows = await readSecrets(pool);
    const listed = [];
    for (const row of rows) {
      const { purpose, generation } = row;
      const isNewest = !rows.some((other) => other.purpose === purpose && other.generation > generation);
      listed.push({
        purpose,
        generation,
        status: !isLive(row) ? 'retired' : isNewest ? 'current' : 'accepted',
        created_at: row.createdAt.toISOString(),
        retired_at: row.retiredAt?.toISOString() ?? null,
        api_keys: await countKeysOfGeneration(pool, purpose, generation),
      });
    }
    if (isJson) return print(JSON.stringify(listed, null, 2));
    print(columns('PURPOSE', 'GENERATION', 'STATUS', 'CREATED', 'API KEYS'));
    for (const row of listed) {
      print(columns(row.purpose, row.generation, row.status, row.created_at, row.api_keys));
    }
  });
}

async function rotateSecret(purpose: SecretPurpose): Promise<void> {
  const settings = readSettings({ withEnvironmentFile: true });
  await withCommandPool(settings, async (pool) => {
    // Loading finds out which of two master keys is the database's while one is changed for the other.
    const { masterKey } = await loadInstallationSecrets(pool, await findMasterKey(settings));
    const generation = await rotateInstallationSecret(pool, masterKey, purpose);
    print(`${purpose} has generation ${generation} now, used from ${publishedSeconds} seconds from now on.`);
    print('What was made before goes on working until its generation is retired (gatelodge secrets list).');
  });
}

async function retireSecret(purpose: SecretPurpose, generation: number): Promise<void> {
  await withCommandPool(readSettings({ withEnvironmentFile: true }), async (pool) => {
    await retireInstallationSecret(pool, purpose, generation);
    print(`${purpose} generation ${generation} is retired.`);
  });
}

async function changeMasterKey(): Promise<void> {
  const settings = readSettings({ withEnvironmentFile: true });
  await withCommandPool(settings, async (pool) => {
    const { masterKey, rewrapped } = await rotateMasterKey(pool, settings);
    print(
      rewrapped === 0
        ? `Nothing was left to wrap: the database is under the master key ${masterKey.fingerprint} already.`
        : `${rewrapped} secrets are wrapped by the master key ${masterKey.fingerprint} now.`,
    );
    print(
      masterKey.source.kind === 'file'
        ? `It is in ${masterKey.source.path}; copy it to where you keep the old one.`
        : 'On every node set GATELODGE_MASTER_KEY to the new key and unset GATELODGE_NEW_MASTER_KEY.',
    );
    print('Backups made before need the old key: keep it as long as them.');
  });
}

function purposeArgument(): Argument {
  return new Argument('<purpose>', 'which secret').choices(secretPurposes);
}

function parseGeneration(text: string): number {
  if (!/^[1-9]\d?$/.test(text))
    throw new InvalidArgumentError('It is a whole number, see `gatelodge secrets list`.');
  return Number(text);
}

function columns(...cells: (string | number)[]): string {
  const widths = [16, 12, 10, 26, 0];
  return cells
    .map((cell, index) => String(cell).padEnd(widths[index] ?? 0))
    .join('')
    .trimEnd();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
