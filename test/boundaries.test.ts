import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

const src = join(import.meta.dirname, '..', 'src');

/** Layers from the bottom up: a folder may import folders of lower lines, and the ones listed for it. */
const allowed: Record<string, string[]> = {
  'main.ts': ['api', 'worker', 'cli', 'definitions', 'security', 'store', 'config.ts', 'errors.ts'],
  cli: ['definitions', 'security', 'store', 'errors.ts'],
  api: [
    'definitions',
    'connectors',
    'sql',
    'formats',
    'jobs',
    'store',
    'security',
    'errors.ts',
    'violations.ts',
  ],
  worker: ['runtime', 'definitions', 'connectors', 'sql', 'formats', 'jobs', 'store', 'errors.ts'],
  definitions: ['connectors', 'sql', 'formats', 'store', 'security', 'errors.ts', 'violations.ts'],
  runtime: ['connectors', 'sql', 'formats', 'jobs', 'security', 'errors.ts'],
  sql: ['formats', 'errors.ts'],
  connectors: ['formats', 'errors.ts'],
  security: ['store', 'config.ts', 'errors.ts'],
  'config.ts': ['jobs', 'security', 'errors.ts', 'violations.ts'],
  store: ['generated', 'errors.ts'],
  formats: ['errors.ts'],
  jobs: [],
  'violations.ts': ['errors.ts'],
  'errors.ts': [],
};

/** Allowed imports between the folders of a connector. */
const insideConnector: Record<string, string[]> = {
  config: [],
  connection: ['config'],
  source: ['connection', 'config'],
  sink: ['connection', 'config'],
  check: ['connection', 'config'],
  watch: ['connection', 'config'],
};

/** Connectors that are others with another profile. */
const builtOn: Record<string, string> = { confluent: 'kafka' };

/** Packages that only some folders may import. */
const keepers: Record<string, string[]> = {
  fastify: ['api'],
  '@fastify/rate-limit': ['api'],
  '@fastify/static': ['api'],
  '@fastify/swagger': ['api'],
  '@fastify/swagger-ui': ['api'],
  '@fastify/type-provider-typebox': ['api'],
  '@prisma/client': ['store'],
  '@prisma/adapter-libsql': ['store'],
  '@prisma/adapter-pg': ['store'],
  '@libsql/client': ['store'],
  '@duckdb/node-api': ['sql'],
  aedes: ['cli'],
  pino: ['main.ts'],
  yaml: ['api', 'cli'],
};

/** Packages that more than one connector, or the store too, may load. */
const severalUse = ['pg', 'undici', 'ws'];

/** Packages that every folder may import. */
const forAll = { typebox: true };

interface Source {
  path: string;
  part: string;
  text: string;
  imports: string[];
  /** Packages among these that it loads only on demand. */
  lazy: ReadonlySet<string>;
}

const partOf = (path: string): string => path.split('/')[0] as string;

/** The package of a file in it that it does not export. */
const withoutFile = (specifier: string): string =>
  specifier.replace(/^(?:\.\.\/)+node_modules\/((?:@[^/]+\/)?[^/]+)\/.*$/, '$1');

const sources: Source[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.startsWith('generated') && !path.endsWith('.test.ts'))
  .map((path) => {
    const text = readFileSync(join(src, path), 'utf8');
    const found = [
      ...text.matchAll(
        /(?:^|\n)\s*(?:import|export)[^'"`;]*?from\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import '([^']+)'/g,
      ),
    ];
    return {
      path,
      part: partOf(path),
      text,
      imports: found.map((m) => withoutFile((m[1] ?? m[2] ?? m[3]) as string)),
      lazy: new Set(found.flatMap((m) => m[2] ?? [])),
    };
  });

const target = (from: Source, specifier: string): string =>
  relative(src, join(src, dirname(from.path), specifier));

/** The files of the project that a file imports. */
const internal = (source: Source): string[] =>
  source.imports
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => target(source, specifier));

const connectorFiles = sources.flatMap((source) => {
  const [, name, folder] = /^connectors\/([^/]+)\/(?:([^/]+)\/)?[^/]+$/.exec(source.path) ?? [];
  return name === undefined ? [] : [{ source, name, folder }];
});

describe('the house', () => {
  test('has only folders with rules here', () => {
    expect([...new Set(sources.map(({ part }) => part))].filter((part) => !(part in allowed))).toEqual([]);
  });

  test('imports in one direction', () => {
    const crossing = sources.flatMap((source) =>
      internal(source)
        .map(partOf)
        .filter((part) => part !== source.part && !allowed[source.part]?.includes(part))
        .map((part) => `${source.path} imports ${part}`),
    );
    expect(crossing).toEqual([]);
  });

  test('has no circle of imports', () => {
    const open = new Map(sources.map((source) => [source.path, new Set(internal(source))]));
    for (let before = -1; before !== open.size; ) {
      before = open.size;
      // A file without imports among the remaining files is not part of a circle.
      for (const [path, imports] of open)
        if (![...imports].some((imported) => open.has(imported))) open.delete(path);
    }
    expect([...open.keys()]).toEqual([]);
  });

  test('keeps each connector to itself', () => {
    const crossing = connectorFiles.flatMap(({ source, name }) =>
      internal(source)
        .filter((path) => path.startsWith('connectors/') && path !== 'connectors/connector.ts')
        .filter(
          (path) =>
            path.split('/')[1] !== name && !/^connectors\/(network|files|schema-registry)\//.test(path),
        )
        .filter((path) => path.split('/')[1] !== builtOn[name])
        .map((path) => `${source.path} imports ${path}`),
    );
    expect(crossing).toEqual([]);
  });

  test('imports in one direction inside a connector', () => {
    const crossing = connectorFiles.flatMap(({ source, name, folder }) =>
      folder === undefined
        ? []
        : internal(source)
            .filter((path) => path.startsWith(`connectors/${name}/`))
            .filter((path) => {
              const other = path.split('/')[2] as string;
              return other !== folder && !insideConnector[folder]?.includes(other);
            })
            .map((path) => `${source.path} imports ${path}`),
    );
    expect(crossing).toEqual([]);
  });

  test('imports each framework in one folder only', () => {
    const foreign = sources.flatMap((source) =>
      source.imports
        .filter((name) =>
          Object.entries(keepers).some(([kept, parts]) => isOf(name, kept) && !parts.includes(source.part)),
        )
        .map((name) => `${source.path} imports ${name}`),
    );
    expect(foreign).toEqual([]);
  });

  test('keeps the packages of a connector to its folder', () => {
    const packagesOf = (all: readonly Source[]) =>
      all.flatMap(({ path, part, imports }) =>
        imports.filter(isPackage).map((name) => ({ path, part, name: packageOf(name) })),
      );
    const folderOf = ({ path }: { path: string }) => path.split('/').slice(0, 2).join('/');
    const owned = packagesOf(connectorFiles.map(({ source }) => source)).filter(
      ({ name }) => !Object.keys(forAll).includes(name),
    );
    expect(owned.length).toBeGreaterThan(0);
    const elsewhere = packagesOf(sources).filter(
      (use) =>
        // The demo has a broker too.
        use.part !== 'cli' &&
        !severalUse.includes(use.name) &&
        owned.some((own) => own.name === use.name && folderOf(own) !== folderOf(use)),
    );
    expect(elsewhere.map(({ path, name }) => `${path} imports ${name}`)).toEqual([]);
  });

  test('loads no package to know its connectors', () => {
    const loaded = loadedWith('connectors/registry.ts', false);
    expect(loaded).toContain('connectors/mqtt/index.ts');
    expect(loaded.filter((name) => isPackage(name) && !(packageOf(name) in forAll))).toEqual([]);
  });

  test('loads neither database nor HTTP in a worker thread', () => {
    const loaded = loadedWith('runtime/thread.ts');
    expect(loaded.filter((name) => name.endsWith('.ts')).length).toBeGreaterThan(50);
    const foreign = /^(store|generated|api|cli|worker|definitions|config\.ts)/;
    const frameworks = /^(@prisma|@libsql|fastify|@fastify|@prometheus-io|pino)/;
    expect(loaded.filter((name) => foreign.test(name) || frameworks.test(name))).toEqual([]);
  });

  test('loads DuckDB in a worker thread only for a query that needs it', () => {
    expect(loadedWith('runtime/thread.ts').filter((name) => name.includes('duckdb'))).not.toEqual([]);
    expect(loadedWith('runtime/thread.ts', false).filter((name) => name.includes('duckdb'))).toEqual([]);
  });

  test('touches the process in main.ts, cli and the entry point of threads only', () => {
    const touching = sources.filter(
      ({ part, path, text }) =>
        !['main.ts', 'cli'].includes(part) &&
        path !== 'runtime/thread.ts' &&
        /(?<![\w./'-])process\.|node:process/.test(withoutComments(text)),
    );
    expect(touching.map(({ path }) => path)).toEqual([]);
  });

  test('has no folder or file with a meaningless name', () => {
    const vague = /(^|\/)(controllers|services|repositories|dto|utils?|common|helpers?|misc|types)(\/|\.ts$)/;
    expect(sources.filter(({ path }) => vague.test(path)).map(({ path }) => path)).toEqual([]);
  });
});

/** Layers of the console from the bottom up. A page imports no other page. */
const consoleLayers: Record<string, string[]> = {
  'main.tsx': ['routes.tsx', 'parts', 'api'],
  'routes.tsx': ['shell', 'parts', 'pipelines', 'tables', 'connections', 'admin'],
  pipelines: ['parts', 'api'],
  tables: ['parts', 'api'],
  connections: ['parts', 'api'],
  admin: ['parts', 'api'],
  shell: ['parts', 'api'],
  parts: ['api'],
  api: [],
};

describe('the console', () => {
  const folder = join(src, '..', 'console', 'src');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /\.tsx?$/.test(path),
  );
  const importsOf = (path: string): string[] =>
    [...readFileSync(join(folder, path), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+\.tsx?)'/g)].map(
      ([, specifier]) => relative(folder, join(folder, dirname(path), specifier as string)),
    );

  test('imports in one direction, and the API only as its typed client', () => {
    const crossing = files.flatMap((path) =>
      importsOf(path)
        .filter((imported) => {
          const [from, to] = [partOf(path), partOf(imported)];
          const isClient = from === 'api' && imported.startsWith('../../examples/typed-client/');
          return from !== to && !isClient && !consoleLayers[from]?.includes(to);
        })
        .map((imported) => `${path} imports ${imported}`),
    );
    expect(files.length).toBeGreaterThan(20);
    expect(crossing).toEqual([]);
  });

  test('runs no text as code or markup', () => {
    const risky = /dangerouslySetInnerHTML|innerHTML|\beval\(|new Function|document\.write|localStorage/;
    expect(files.filter((path) => risky.test(readFileSync(join(folder, path), 'utf8')))).toEqual([]);
  });
});

/**
 * All files and packages that a file loads, directly or not, except type imports. Without `lazy` only those that it loads
 * immediately.
 */
function loadedWith(entry: string, lazy = true): string[] {
  const found = new Set([entry]);
  for (const path of found) {
    const source = sources.find((one) => one.path === path);
    const types = source?.text.matchAll(/(?:^|\n)\s*(?:import|export) type [^'"`;]*?from\s*'([^']+)'/g) ?? [];
    const typesOnly = new Set([...types].map(([, name]) => name));
    for (const name of source?.imports ?? [])
      if (!typesOnly.has(name) && (lazy || !source?.lazy.has(name)))
        found.add(name.startsWith('.') && source ? target(source, name) : name);
  }
  return [...found];
}

const isPackage = (name: string): boolean => !/^(\.|node:)|\.ts$/.test(name);
const packageOf = (name: string): string =>
  (name.startsWith('@') ? /^[^/]+\/[^/]+/ : /^[^/]+/).exec(name)?.[0] ?? name;
const isOf = (name: string, kept: string): boolean => name === kept || name.startsWith(`${kept}/`);
const withoutComments = (text: string): string => text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
