// npm runs this before it packs (prepack): it writes the JavaScript of src/, without tests, to dist/. Node strips no
// types below node_modules. It also builds the web console if it is missing.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** Matches a reference to a file by its path, such as the entry of a thread, an icon, or the migrations. */
const byPlace = /new URL\(\s*'([^']+)',\s*import\.meta\.url\)/g;

function compile(): void {
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')));
  const args = [tsc, '--project', join(root, 'tsconfig.package.json')];
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`tsc failed with ${status}`);
}

/** Adapts references that the compiler keeps: `.ts` becomes `.js`, and other files of src/ are copied. */
function mendReferences(name: string): void {
  const file = join(dist, name);
  const text = readFileSync(file, 'utf8');
  const mended = text.replace(byPlace, (reference, path: string) => {
    const from = join(root, 'src', dirname(name), path);
    const to = join(dist, dirname(name), path.replace(/\.ts$/, '.js'));
    if (!existsSync(to)) copyFileSync(from, to);
    return reference.replace(".ts'", ".js'");
  });
  if (mended !== text) writeFileSync(file, mended);
}

if (!existsSync(join(root, 'console', 'dist', 'index.html'))) await import('./console.ts');
rmSync(dist, { recursive: true, force: true });
compile();
for (const name of globSync('**/*.js', { cwd: dist })) mendReferences(name);
