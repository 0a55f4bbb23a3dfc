import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    globalSetup: ['test/support/shared-postgres.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
