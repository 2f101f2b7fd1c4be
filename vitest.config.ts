import { defineConfig } from 'vitest/config';

const isSoak = process.env.GATELODGE_TEST_SCALE === 'soak';

export default defineConfig({
  test: {
    include: ['server/src/**/*.test.ts', 'server/test/**/*.test.ts', 'conformance/test/**/*.test.ts'],
    // What takes minutes, whatever its scale.
    exclude: isSoak ? [] : ['**/*.soak.test.ts'],
    setupFiles: ['server/test/harness/setup.ts'],
    globalSetup: ['server/test/harness/global-setup.ts'],
    // Files run in parallel, each on a database of its own; two workers fit the two cores the suite is planned for.
    maxWorkers: 2,
    // And share the modules of their worker: loading them anew for each file took as long as the tests of most.
    isolate: false,
    testTimeout: isSoak ? 1_800_000 : 60_000,
    hookTimeout: 120_000,
  },
});
