/** `npm run bench -- NAME [--keys N] [--quick]`: one benchmark, all of them, or the list. */
import { moveClient } from './cores.ts';
import { writeFigures } from './figures.ts';
import { type BenchOptions, readOptions } from './options.ts';

interface Benchmark {
  about: string;
  run(options: BenchOptions, cleanup: AsyncDisposableStack): Promise<void>;
}

const benchmarks: Record<string, Benchmark> = {
  verify: {
    about: 'keys in memory, limits and metering on, against a bare node:http server and against better-auth',
    run: async (...args) => (await import('./verify.ts')).benchVerify(...args),
  },
  cold: {
    about: 'the first verification of a key, against one SELECT by primary key',
    run: async (...args) => (await import('./cold.ts')).benchCold(...args),
  },
  forged: {
    about: 'floods of made-up keys, against traffic of valid ones; and the SQL that they cause',
    run: async (...args) => (await import('./forged.ts')).benchForged(...args),
  },
  memory: {
    about: 'bytes that a key takes in memory, and the bound that the cache sets',
    run: async (...args) => (await import('./memory.ts')).benchMemory(...args),
  },
  flat: {
    about: 'verification as stored keys and tenants grow; draws a plot',
    run: async (...args) => (await import('./flat.ts')).benchFlat(...args),
  },
  create: {
    about: 'making keys, each with its event, against plain transactions of the same rows',
    run: async (...args) => (await import('./create.ts')).benchCreate(...args),
  },
  jwks: {
    about: 'key sets and discovery of 10,000 issuers, against a bare node:http server; a cold issuer; memory',
    run: async (...args) => (await import('./jwks.ts')).benchJwks(...args),
  },
  otp: {
    about:
      'signing in by a mailed code, against three-statement transactions and one signature; and what its time tells',
    run: async (...args) => (await import('./otp.ts')).benchOtp(...args),
  },
  oidc: {
    about:
      'the token endpoint of 1,000 issuers, against the library by itself; 10,000 issuers that nobody has asked',
    run: async (...args) => (await import('./oidc.ts')).benchOidc(...args),
  },
  usage: {
    about: 'usage over 10,000,000 decisions of 30 days, and the memory that an export takes',
    run: async (...args) => (await import('./usage.ts')).benchUsage(...args),
  },
};

/** What is there besides benchmarks. */
const figures = 'figures';

const { name, options } = readOptions(process.argv.slice(2));
const chosen = name === 'all' ? Object.keys(benchmarks) : [name ?? ''];
if (name === figures) {
  writeFigures();
} else if (chosen.every((each) => benchmarks[each] !== undefined)) {
  moveClient();
  for (const each of chosen) await run(benchmarks[each]!);
} else {
  process.stdout.write('Usage: npm run bench -- NAME [--keys N] [--quick]\n\n');
  for (const [known, { about }] of Object.entries(benchmarks))
    process.stdout.write(`  ${known.padEnd(8)}${about}\n`);
  process.stdout.write(`  ${'all'.padEnd(8)}one after the other\n`);
  process.stdout.write(`  ${figures.padEnd(8)}writes those of the last full runs into bench/README.md\n`);
  process.exitCode = name === undefined ? 0 : 1;
}

/** Whatever happens, nothing that was started goes on, and nothing that was stored stays. */
async function run(benchmark: Benchmark): Promise<void> {
  const cleanup = new AsyncDisposableStack();
  let interruption: Promise<void> | undefined;
  const interrupt = () => {
    interruption ??= cleanup.disposeAsync().finally(() => process.exit(130));
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    await benchmark.run(options, cleanup);
  } catch (error) {
    // Its servers going is what an interruption looks like to the benchmark.
    if (interruption === undefined) throw error;
  } finally {
    await (interruption ?? cleanup.disposeAsync());
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
