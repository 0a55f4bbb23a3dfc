// npm run build, and what npm runs before it packs (prepack): the service as JavaScript in dist/, and the web console if it is
// missing. Node strips no types below node_modules, and a few files load sooner than hundreds. Only native packages stay
// outside. CommonJS, because Node's loader of ES modules costs a fifth of the time to start (bench/README.md).
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { type OutputChunk, type Plugin, rolldown } from 'rolldown';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
/** Where it is made, so that whoever starts `dist/` meanwhile finds all of it. */
const made = join(root, 'node_modules', '.cache', 'penstock-dist');
const entries = { main: 'src/main.ts', thread: 'src/runtime/thread.ts' };
/** Files that list parts as `name: () => part`. Each part becomes a file, loaded when it is first used. */
const registries = ['src/formats/registry.ts', 'src/connectors/registry.ts'];

/** Packages with native code, which npm installs beside the bundle, and native parts of others, which nothing uses. */
const external = [
  /^@duckdb\//,
  'libsql',
  'pg-native',
  'cbor-extract',
  'msgpackr-extract',
  'bufferutil',
  'utf-8-validate',
];

const iconText = /readFileSync\(new URL\('(\.\/icon\.svg)', import\.meta\.url\), 'utf8'\)/g;
const byPlace = /new URL\(\s*'([^']+)',\s*import\.meta\.url\)/g;

/** Writes icons into the code, and adapts paths of other files to `dist/`, where all code is in one folder. */
const places: Plugin = {
  name: 'places',
  transform(code, id) {
    if (!id.startsWith(join(root, 'src')) || !code.includes('import.meta.url')) return undefined;
    const icon = (_: string, path: string): string =>
      JSON.stringify(readFileSync(join(dirname(id), path), 'utf8'));
    const place = (_: string, path: string): string => {
      const target = relative(root, resolve(dirname(id), path)).replaceAll(sep, '/');
      const [entry] = Object.entries(entries).find(([, file]) => file === target) ?? [];
      const moved = entry ? `./${entry}.js` : `../${target}${path.endsWith('/') ? '/' : ''}`;
      return `new URL('${moved}', import.meta.url)`;
    };
    return code.replace(iconText, icon).replace(byPlace, place);
  },
};

const partImport = /import \{ ([\w, ]+) \} from '(\.\/(\w+)\/[\w.]+)';/g;
/** The name of the file in `dist/` of a part. */
const partName = (registry: string, folder: string): string => `${registry.split('/')[1]}-${folder}`;

/** The files of the parts of all registries, by their names in `dist/`. */
const partEntries = (): [name: string, path: string][] =>
  registries.flatMap((registry) =>
    [...readFileSync(join(root, registry), 'utf8').matchAll(partImport)].map(
      ([, , path = '', folder = '']) => [partName(registry, folder), join(root, dirname(registry), path)],
    ),
  );

/** Loads the parts of a registry when they are first asked for, instead of with the registry. */
const parts: Plugin = {
  name: 'parts',
  transform(code, id) {
    const registry = relative(root, id).replaceAll(sep, '/');
    if (!registries.includes(registry)) return undefined;
    let changed = code;
    for (const [statement, names = '', , folder = ''] of code.matchAll(partImport)) {
      changed = changed.replace(statement, '');
      for (const name of names.split(', ')) {
        if (!changed.includes(`() => ${name},`))
          throw new Error(`${registry} does not list ${name} as a part`);
        changed = changed.replace(
          `() => ${name},`,
          `() => load('./${partName(registry, folder)}.js').${name},`,
        );
      }
    }
    return `import { createRequire } from 'node:module';\nconst load = createRequire(import.meta.url);\n${changed}`;
  },
};

/** Swagger UI looks for its pages beside its own folder `lib`, which the bundle has not. */
const swaggerPages: Plugin = {
  name: 'swagger-pages',
  transform(code, id) {
    if (!/swagger-ui[\\/]lib[\\/]routes\.js$/.test(id)) return undefined;
    const beside = "path.join(__dirname, '..', 'static')";
    if (!code.includes(beside)) throw new Error(`${id} no longer looks for its pages in ${beside}`);
    return code.replace(beside, "path.join(__dirname, 'static')");
  },
};

/**
 * Puts Prisma's query compilers beside the bundle. Prisma has them as base64 in JavaScript, which takes longer to read, and
 * stays in memory.
 */
const webAssembly: Plugin = {
  name: 'web-assembly',
  transform(code, id) {
    if (!/[\\/]generated[\\/]\w+[\\/]internal[\\/]class\.ts$/.test(id)) return undefined;
    const reading =
      /const \{ wasm \} = await import\("(@prisma\/client\/runtime\/(query_compiler_[\w.]+)\.wasm-base64\.mjs)"\)\s+return await decodeBase64AsWasm\(wasm\)/;
    const [, path, name] = reading.exec(code) ?? [];
    if (path === undefined) throw new Error(`${id} no longer reads its query compiler as base64`);
    const base64 = /["']([A-Za-z0-9+/]{1000,}={0,2})["']/.exec(
      readFileSync(join(root, 'node_modules', path), 'utf8'),
    )?.[1];
    if (base64 === undefined) throw new Error(`${path} holds no WebAssembly in base64`);
    this.emitFile({ type: 'asset', fileName: `${name}.wasm`, source: Buffer.from(base64, 'base64') });
    const file = `new URL('./${name}.wasm', import.meta.url)`;
    return code.replace(
      reading,
      `const { readFileSync } = await import('node:fs'); return new WebAssembly.Module(readFileSync(${file}))`,
    );
  },
};

/** Puts the checksums and compressions of the Kafka client, which it looks for beside its own folder, beside the bundle. */
const kafkaWebAssembly: Plugin = {
  name: 'kafka-web-assembly',
  transform(code, id) {
    if (!/@platformatic[\\/]wasm-utils[\\/]dist[\\/]index\.js$/.test(id)) return undefined;
    const beside = "new URL('../dist/native.wasm', import.meta.url)";
    if (!code.includes(beside)) throw new Error(`${id} no longer looks for its WebAssembly in ${beside}`);
    const source = readFileSync(join(dirname(id), 'native.wasm'));
    this.emitFile({ type: 'asset', fileName: 'kafka.client.wasm', source });
    return code.replace(beside, "new URL('./kafka.client.wasm', import.meta.url)");
  },
};

/** Escapes what is not ASCII: V8 then keeps the text in half the memory. */
const inAscii = (code: string): string =>
  code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Writes the licenses of the packages in the bundle to `dist/licenses.md`: they ask for it. */
function writeLicenses(chunks: OutputChunk[]): void {
  const inside = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/;
  const folders = chunks.flatMap(({ moduleIds }) => moduleIds.map((id) => inside.exec(id)?.[1]));
  const texts = [...new Set(folders)]
    .filter((folder) => folder !== undefined)
    .sort()
    .map(licenseIn);
  writeFileSync(join(made, 'licenses.md'), `# Packages in this bundle\n\n${texts.join('\n')}`);
}

function licenseIn(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const text = file ? `\n${readFileSync(join(folder, file), 'utf8').trim()}\n` : '';
  return `## ${name} ${version}: ${license}\n${text}`;
}

async function buildService(): Promise<void> {
  rmSync(made, { recursive: true, force: true });
  const bundle = await rolldown({
    input: Object.fromEntries([
      ...Object.entries(entries).map(([name, file]) => [name, join(root, file)]),
      ...partEntries(),
    ]),
    cwd: root,
    platform: 'node',
    external,
    // Only the part for files: the rest speaks HTTP and WebSocket.
    resolve: { alias: { '@libsql/client': '@libsql/client/sqlite3' } },
    plugins: [places, parts, swaggerPages, webAssembly, kafkaWebAssembly],
  });
  const { output } = await bundle.write({
    dir: made,
    format: 'cjs',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    // Functions and classes keep their names, for stacks and errors.
    minify: { mangle: { keepNames: true }, compress: true, codegen: true },
  });
  await bundle.close();
  writeFileSync(join(made, 'package.json'), '{ "type": "commonjs" }\n');
  cpSync(join(root, 'node_modules', '@fastify', 'swagger-ui', 'static'), join(made, 'static'), {
    recursive: true,
  });
  const chunks = output.filter((part) => part.type === 'chunk');
  for (const { fileName, code } of chunks) writeFileSync(join(made, fileName), inAscii(code));
  writeLicenses(chunks);
  rmSync(dist, { recursive: true, force: true });
  renameSync(made, dist);
}

if (process.env.PENSTOCK_CONSOLE !== 'off' && !existsSync(join(root, 'console', 'dist', 'index.html')))
  await import('./console.ts');
await buildService();
