/** `npm run bench -- NAME`: one benchmark, or the list of them. */
const benchmarks: Record<string, { about: string; run: () => Promise<void> }> = {
  verify: {
    about: 'POST /v1/keys/verify with the key in memory, against a bare node:http server of the same bytes',
    run: async () => (await import('./verify.ts')).benchVerify(),
  },
};

const name = process.argv[2];
const benchmark = name === undefined ? undefined : benchmarks[name];
if (benchmark === undefined) {
  process.stdout.write('Usage: npm run bench -- NAME\n\n');
  for (const [known, { about }] of Object.entries(benchmarks)) process.stdout.write(`  ${known}  ${about}\n`);
  process.exitCode = name === undefined ? 0 : 1;
} else {
  await benchmark.run();
}
