import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Address of the Penstock that `npx vite` in this folder talks to. */
const penstock = process.env.PENSTOCK_URL ?? 'http://127.0.0.1:5115';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative addresses work below any prefix of a proxy.
  base: './',
  // `src/api/console.ts` puts a new nonce in its place for each response.
  html: { cspNonce: 'NONCE' },
  build: {
    target: 'es2024',
    // They know light-dark(), which does not work when it is written for older ones.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The console holds these packages, so it holds their licenses too.
    license: { fileName: 'assets/licenses.md' },
    // Part of the first load, so that a part which loads later needs its script only.
    cssCodeSplit: false,
    ...{ assetsInlineLimit: 0, reportCompressedSize: false, chunkSizeWarningLimit: 1000 },
  },
  plugins: [react()],
  // @rjsf/core names a validator in a helper for its own tests, which is left out. Ours is in parts/schema-form.tsx.
  resolve: { alias: { '@rjsf/validator-ajv8': 'react' } },
  server: { proxy: { '/api': penstock, '/metrics': penstock, '/readyz': penstock, '/healthz': penstock } },
});
