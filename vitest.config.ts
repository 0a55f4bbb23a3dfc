import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    pool: 'forks',
    setupFiles: ['test/support/seed.ts'],
    globalSetup: ['test/support/shared-postgres.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
