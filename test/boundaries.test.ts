import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

const src = join(import.meta.dirname, '..', 'src');

/** What each part of the house may import, beside its own files. Root files are named, folders stand for all of theirs. */
const allowed: Record<string, string[]> = {
  'main.ts': [
    'api',
    'worker',
    'demo',
    'cli',
    'store',
    'arguments.ts',
    'catalog.ts',
    'certificate-files.ts',
    'config.ts',
    'keys.ts',
    'keys-command.ts',
    'reseal.ts',
    'secrets.ts',
    'start-again.ts',
    'targets.ts',
    'errors.ts',
  ],
  api: [
    'connectors',
    'pipeline',
    'formats',
    'store',
    'catalog.ts',
    'job.ts',
    'job-stats.ts',
    'keys.ts',
    'query-secrets.ts',
    'secrets.ts',
    'errors.ts',
  ],
  worker: [
    'connectors',
    'pipeline',
    'formats',
    'store',
    'catalog.ts',
    'job.ts',
    'job-stats.ts',
    'targets.ts',
    'errors.ts',
  ],
  demo: [],
  cli: [],
  'catalog.ts': [
    'connectors',
    'pipeline',
    'formats',
    'store',
    'certificate-files.ts',
    'query-secrets.ts',
    'secrets.ts',
    'errors.ts',
  ],
  'certificate-files.ts': ['secrets.ts', 'errors.ts'],
  connectors: ['formats', 'errors.ts'],
  pipeline: ['formats', 'errors.ts'],
  formats: ['errors.ts'],
  store: ['generated', 'errors.ts'],
  'query-secrets.ts': ['connectors', 'pipeline', 'secrets.ts', 'errors.ts'],
  'keys.ts': ['store', 'errors.ts'],
  'arguments.ts': ['cli', 'keys-command.ts'],
  'keys-command.ts': ['store', 'keys.ts', 'reseal.ts', 'secrets.ts', 'errors.ts'],
  'reseal.ts': ['connectors', 'store', 'catalog.ts', 'query-secrets.ts', 'secrets.ts', 'errors.ts'],
  'secrets.ts': ['config.ts', 'errors.ts'],
  'config.ts': ['targets.ts', 'errors.ts'],
  'targets.ts': ['errors.ts'],
  'job.ts': [],
  'start-again.ts': [],
  'error-help.ts': ['errors.ts'],
  'job-stats.ts': [],
  'errors.ts': [],
};

/** Packages that only some parts may know. */
const keepers: Record<string, string[]> = {
  fastify: ['api'],
  '@fastify/rate-limit': ['api'],
  '@fastify/swagger': ['api'],
  '@fastify/swagger-ui': ['api'],
  '@fastify/type-provider-typebox': ['api'],
  '@fastify/under-pressure': ['api'],
  '@prisma/client': ['store'],
  '@prisma/adapter-libsql': ['store'],
  '@prisma/adapter-pg': ['store'],
  '@libsql/client': ['store'],
  '@duckdb/node-api': ['pipeline'],
  mqtt: ['connectors', 'demo'],
  ws: ['connectors'],
  aedes: ['demo'],
  pino: ['main.ts'],
  yaml: ['api', 'cli'],
};

interface Source {
  path: string;
  part: string;
  text: string;
  imports: string[];
}

const partOf = (path: string): string => path.split('/')[0] as string;

const sources: Source[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.startsWith('generated') && !path.endsWith('.test.ts'))
  .map((path) => {
    const text = readFileSync(join(src, path), 'utf8');
    const found = text.matchAll(
      /(?:^|\n)\s*(?:import|export)[^'"`;]*?from\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import '([^']+)'/g,
    );
    return {
      path,
      part: partOf(path),
      text,
      imports: [...found].map((m) => (m[1] ?? m[2] ?? m[3]) as string),
    };
  });

const target = (from: Source, specifier: string): string =>
  relative(src, join(src, dirname(from.path), specifier));

describe('the house', () => {
  test('has only parts whose imports are ruled here', () => {
    expect([...new Set(sources.map(({ part }) => part))].filter((part) => !(part in allowed))).toEqual([]);
  });

  test('imports in one direction', () => {
    const crossing = sources.flatMap((source) =>
      source.imports
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => partOf(target(source, specifier)))
        .filter((part) => part !== source.part && !allowed[source.part]?.includes(part))
        .map((part) => `${source.path} imports ${part}`),
    );
    expect(crossing).toEqual([]);
  });

  test('keeps each connector to itself', () => {
    const crossing = sources
      .filter(({ path }) => /^connectors\/[^/]+\//.test(path))
      .flatMap((source) =>
        source.imports
          .filter((specifier) => specifier.startsWith('.'))
          .map((specifier) => target(source, specifier))
          .filter((path) => path.startsWith('connectors/') && path !== 'connectors/connector.ts')
          .filter((path) => dirname(path) !== dirname(source.path))
          .map((path) => `${source.path} imports ${path}`),
      );
    expect(crossing).toEqual([]);
  });

  test('knows each framework in one place only', () => {
    const strangers = sources.flatMap((source) =>
      source.imports
        .filter((name) =>
          Object.entries(keepers).some(([kept, parts]) => isOf(name, kept) && !parts.includes(source.part)),
        )
        .map((name) => `${source.path} imports ${name}`),
    );
    expect(strangers).toEqual([]);
  });

  test('starts in a thread of tasks only what moves messages', () => {
    const loaded = loadedWith('worker/threads/thread.ts');
    expect(loaded.filter((name) => name.endsWith('.ts')).length).toBeGreaterThan(50);
    const foreign =
      /^(store|generated|api|cli|catalog\.ts|secrets\.ts|config\.ts|worker\/(metrics|worker)\.ts)/;
    const frameworks = /^(@prisma|@libsql|fastify|@fastify|@prometheus-io|pino)/;
    expect(loaded.filter((name) => foreign.test(name) || frameworks.test(name))).toEqual([]);
  });

  test('touches the process in main.ts only', () => {
    const touching = sources.filter(
      ({ part, text }) =>
        part !== 'main.ts' && /(?<![\w./'-])process\.|node:process/.test(withoutComments(text)),
    );
    expect(touching.map(({ path }) => path)).toEqual([]);
  });

  test('has no folder or file that says nothing about what it holds', () => {
    const vague = /(^|\/)(controllers|services|repositories|dto|utils?|common|helpers?|misc|types)(\/|\.ts$)/;
    expect(sources.filter(({ path }) => vague.test(path)).map(({ path }) => path)).toEqual([]);
  });
});

/** All that a file loads when it is started, directly or not; what is imported as types alone is not. */
function loadedWith(entry: string): string[] {
  const found = new Set([entry]);
  for (const path of found) {
    const source = sources.find((one) => one.path === path);
    const types = source?.text.matchAll(/(?:^|\n)\s*(?:import|export) type [^'"`;]*?from\s*'([^']+)'/g) ?? [];
    const typesOnly = new Set([...types].map(([, name]) => name));
    for (const name of source?.imports ?? [])
      if (!typesOnly.has(name)) found.add(name.startsWith('.') && source ? target(source, name) : name);
  }
  return [...found];
}

const isOf = (name: string, kept: string): boolean => name === kept || name.startsWith(`${kept}/`);
const withoutComments = (text: string): string => text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
