import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/longest-first.ts';

/** Tests of functions without servers. They share loaded modules, which saves a third of their time. */
const pure = ['formats', 'sql', 'runtime', 'security'].map((folder) => `src/${folder}/**/*.test.ts`);

export default defineConfig({
  test: {
    pool: 'forks',
    // Most of them wait for a broker or a process most of the time.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/skipped-reporter.ts'],
    setupFiles: ['test/support/seed.ts'],
    globalSetup: ['test/support/shared-databases.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'servers',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'console/test/**/*.test.ts'],
          exclude: pure,
        },
      },
      { extends: true, test: { name: 'pure', include: pure, isolate: false } },
    ],
  },
});
