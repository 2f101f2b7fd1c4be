import { Command } from 'commander';
import { packageVersion } from '../version.ts';
import { reportFailure } from './report-failure.ts';

/**
 * Reads the command line, runs its command and sets the exit code: 0, or what the failure calls for.
 *
 * Each command imports what it needs when it is run, so that `start` does not load the server to supervise it.
 */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  const program = new Command('gatelodge')
    .description('Self-hosted multi-tenant API keys and multi-tenant login.')
    .version(packageVersion);
  registerServerCommands(program);
  registerOpenapiCommand(program);
  // These register themselves, which means loading them: not for a command that is one of the above.
  if (!['start', 'serve', 'migrate', 'openapi', '--version', '-V'].includes(argv[2] ?? '')) {
    const { registerSecretsCommands } = await import('../cli/secrets.ts');
    registerSecretsCommands(program);
    const { registerLedgerCommands } = await import('../cli/ledger.ts');
    registerLedgerCommands(program);
  }
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = reportFailure(error);
  }
}

function registerServerCommands(program: Command): void {
  program
    .command('start')
    .description('Start everything: an embedded Postgres unless DATABASE_URL is set, migrations, the server.')
    .option('--demo', 'also make an issuer per profile preset, with organizations and keys', false)
    .action(async ({ demo }: { demo: boolean }) => {
      const { startCommand } = await import('./start-command.ts');
      process.exit(await startCommand(demo).catch(reportFailure));
    });
  program
    .command('serve', { hidden: true })
    .description('Run the server alone, on a database that is migrated already.')
    .option('--demo', 'as with start', false)
    .action(async ({ demo }: { demo: boolean }) => {
      const { serveCommand } = await import('./serve-command.ts');
      process.exit(await serveCommand(demo).catch(reportFailure));
    });
  program
    .command('migrate')
    .description('Bring the database up to date and exit.')
    .action(async () => {
      const { migrateCommand } = await import('./migrate-command.ts');
      await migrateCommand();
    });
}

function registerOpenapiCommand(program: Command): void {
  program
    .command('openapi')
    .description('Print the OpenAPI document of this build.')
    .option('--out <file>', 'write it to a file instead')
    .option('--check <file>', 'fail when the file differs from it')
    .action(async (options: { out?: string; check?: string }) => {
      const { openapiCommand } = await import('../cli/openapi.ts');
      await openapiCommand(options);
    });
}
