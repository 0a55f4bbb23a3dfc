import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/longest-first.ts';

/**
 * Tests that share a process and its loaded modules with others, which saves half of their time. Not those whose processes
 * take most of it, or that look at what their own process holds.
 */
const shared = ['src', 'test', 'console/test'].map((folder) => `${folder}/**/*.test.ts`);
const alone = [
  'test/faults/**/*.test.ts',
  'test/brokers/**/*.test.ts',
  'test/arroyo/**/*.test.ts',
  ...['footprint', 'package', 'plain-node', 'readme'].map((name) => `test/${name}.test.ts`),
  'src/connectors/mqtt/connection/client.test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    // Most of them wait for a broker or a process most of the time.
    maxWorkers: 5,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/skipped-reporter.ts'],
    setupFiles: ['test/support/each-file.ts'],
    globalSetup: ['test/support/shared-databases.ts'],
    // Each wait in a test has its own, shorter deadline.
    testTimeout: 300_000,
    hookTimeout: 180_000,
    projects: [
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'shared', include: shared, exclude: alone, isolate: false } },
    ],
  },
});
