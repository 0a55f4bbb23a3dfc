// npm run build: the web console, from console/ to console/dist/, with compressed copies for the server to send.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';

const folder = join(import.meta.dirname, '..', 'console');

await build({ configFile: join(folder, 'vite.config.ts'), logLevel: 'warn' });

const assets = join(folder, 'dist', 'assets');
for (const name of readdirSync(assets)) {
  if (!/\.(js|css|svg|md)$/.test(name)) continue;
  const content = readFileSync(join(assets, name));
  writeFileSync(join(assets, `${name}.gz`), gzipSync(content, { level: 9 }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9 };
  writeFileSync(join(assets, `${name}.br`), brotliCompressSync(content, { params }));
}
