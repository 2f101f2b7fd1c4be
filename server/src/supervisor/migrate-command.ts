import { openDataDirectory } from './data-directory.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { lockDataDirectory } from './lock.ts';
import { stderrLog } from './log.ts';
import { readSettings } from './read-settings.ts';

/**
 * `gatelodge migrate`: brings the database up to date, starting the embedded one for it when there is no other.
 *
 * @throws {StartError} when something that the operator can mend is in the way
 */
export async function migrateCommand(): Promise<void> {
  const settings = readSettings({ withEnvironmentFile: true });
  const log = await stderrLog(settings.logLevel);
  const { migrateDatabase } = await import('../postgres/migrate.ts');
  if (settings.databaseUrl !== undefined) {
    tell(await migrateDatabase({ ownerUrl: settings.databaseOwnerUrl ?? settings.databaseUrl, log }));
    return;
  }
  await using cleanup = new AsyncDisposableStack();
  const dataDirectory = await openDataDirectory(settings.dataDir);
  const lock = await lockDataDirectory(dataDirectory);
  cleanup.defer(() => lock.release());
  const postgres = await startEmbeddedPostgres({ dataDirectory, log });
  cleanup.defer(() => postgres.stop());
  tell(await migrateDatabase({ ownerUrl: postgres.ownerUrl, log }));
}

function tell({ applied }: { applied: string[] }): void {
  const did = applied.length === 0 ? '' : ` Ran ${applied.join(', ')}.`;
  process.stdout.write(`The database is up to date.${did}\n`);
}
