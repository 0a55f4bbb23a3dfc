import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/longest-first.ts';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    // Most of them wait for a broker or a process most of the time.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/skipped-reporter.ts'],
    setupFiles: ['test/support/seed.ts'],
    globalSetup: ['test/support/shared-postgres.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
