/** `node conformance/run.ts --help` */
import { readCommandLine, usage } from './command-line.ts';
import { listPlans, runAndReport } from './suite/run-and-report.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const read = await readCommandLine(args, process.env).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return undefined;
  });
  if (read === undefined) return 2;
  if (read.kind === 'run') return runAndReport(read.config, read.driver, read);
  process.stdout.write(read.kind === 'help' ? usage : listPlans());
  return 0;
}
