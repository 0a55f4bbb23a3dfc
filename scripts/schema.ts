// The one hand-written Prisma schema as each provider needs it, and the difference between two schemas as SQL.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';

export const providers = ['sqlite', 'postgresql'] as const;
export type Provider = (typeof providers)[number];

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** prisma/schema.prisma with `provider` put in; its client goes to a folder of that name beside the file. */
export async function schemaFor(provider: Provider): Promise<string> {
  const text = await readFile(join(root, 'prisma', 'schema.prisma'), 'utf8');
  const replaced = text
    .replace('"../src/generated/PROVIDER"', `"./${provider}"`)
    .replace('provider = "sqlite"', `provider = "${provider}"`);
  if (!replaced.includes(`output              = "./${provider}"`))
    throw new Error('prisma/schema.prisma: the generator must write to "../src/generated/PROVIDER"');
  return replaced;
}

/** The folder of the migrations of `provider`, with the schema that they produce in `schema.prisma`. */
export const migrationsOf = (provider: Provider): string => join(root, 'prisma', 'migrations', provider);

/** The SQL that changes a database from schema `from` (null: empty) to schema `to`; '' if they are equal. */
export async function migrationBetween(provider: Provider, from: string | null, to: string): Promise<string> {
  const files = (content: string) => [{ path: 'schema.prisma', content }];
  const engine = await schemaEngine(provider, to);
  try {
    const { stdout } = await engine.diff({
      from: from === null ? { tag: 'empty' } : { tag: 'schemaDatamodel', files: files(from) },
      to: { tag: 'schemaDatamodel', files: files(to) },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    });
    // Creating the schema needs a privilege on the whole database, and every database has "public".
    const sql = (stdout ?? '')
      .replace(/^-- CreateSchema\nCREATE SCHEMA IF NOT EXISTS "public";\n/, '')
      .trim();
    return sql === '' || sql === '-- This is an empty migration.' ? '' : `${sql}\n`;
  } finally {
    engine.free();
  }
}

/** Prisma's schema engine as WebAssembly, because the binary of its command line must be downloaded. */
async function schemaEngine(provider: Provider, schema: string): Promise<bindings.SchemaEngine> {
  loaded ??= load();
  await loaded;
  const adapter = {
    ...connection(provider),
    connect: () => Promise.resolve({ ok: true, value: connection(provider) }),
  };
  return bindings.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, adapter);
}

// To compare two schemas, the engine only asks PostgreSQL for its version and whether it has our schema.
function connection(provider: Provider) {
  const unused = () => Promise.reject(new Error('the schema engine was to work without a database'));
  const columnTypes = [ColumnType.Boolean, ColumnType.Text, ColumnType.Int32];
  const self = { columnNames: ['exists', 'version', 'numeric_version'], columnTypes };
  const value = { ...self, rows: [[true, 'PostgreSQL 15.0', 150_000]] };
  return {
    provider: provider === 'sqlite' ? 'sqlite' : 'postgres',
    adapterName: provider === 'sqlite' ? '@prisma/adapter-libsql' : '@prisma/adapter-pg',
    queryRaw: provider === 'sqlite' ? unused : () => Promise.resolve({ ok: true, value }),
    executeRaw: unused,
    executeScript: unused,
    startTransaction: unused,
    dispose: () => Promise.resolve({ ok: true, value: undefined }),
  };
}

// As in @prisma/driver-adapter-utils.
const ColumnType = { Int32: 0, Boolean: 5, Text: 7 };

// Only once: the bindings hold views of the memory of one instance.
let loaded: Promise<void> | undefined;

// Missing from Node's types.
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: Record<string, object>,
  ): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

async function load(): Promise<void> {
  const script = fileURLToPath(import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg'));
  const wasm = await readFile(join(dirname(script), 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': { ...bindings } });
  bindings.__wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
}
