import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectorFor } from '../../src/connectors/registry.ts';
import { withDefaultSchema } from '../../src/definitions/config-checks.ts';
import { PenstockError } from '../../src/errors.ts';
import { compilePreview, compileQuery } from '../../src/sql/compile.ts';
import { diagnosticsOf } from '../../src/sql/diagnostic.ts';
import type { Catalog, InlineTable } from '../../src/sql/plan.ts';

/** Arroyo's SQL suites, in a checkout of its repository: the environment variable ARROYO_REPOSITORY names its folder. */

const folders = {
  planner: 'crates/arroyo-planner/src/test/queries',
  testing: 'crates/arroyo-sql-testing/src/test/queries',
};

export interface SuiteFile {
  suite: keyof typeof folders;
  name: string;
  query: string;
  mustFail: boolean;
}

export const testingFolder = (repository: string) => join(repository, 'crates/arroyo-sql-testing');

export function suiteFiles(repository: string): SuiteFile[] {
  return Object.entries(folders).flatMap(([suite, folder]) =>
    readdirSync(join(repository, folder))
      .filter((file) => file.endsWith('.sql'))
      .sort()
      .map((file) => {
        const query = readFileSync(join(repository, folder, file), 'utf8');
        const name = file.slice(0, -4);
        return { suite: suite as SuiteFile['suite'], name, query, mustFail: query.startsWith('--fail') };
      }),
  );
}

/** Names of options of connectors that Penstock does not have. They say nothing about SQL. */
const otherOptions = [
  ...['bootstrap_servers', 'topic', 'path', 'endpoint', 'events', 'subscription_message', 'emit_behavior'],
  ...['poll_interval_ms', 'source.offset', 'source.regex_pattern', 'filename.strategy', 'address', 'type'],
  ...['parquet.compression', 'partitioning.time_pattern', 'rolling_policy.interval'],
  ...[
    'catalog.type',
    'catalog.rest.url',
    'table_name',
    'shuffle_by_partition.enabled',
    'runtime',
    'event_rate',
  ],
  ...['lookup.cache.max_bytes', 'lookup.cache.ttl', 'message_count'],
];

const stoodFor = new Set([
  ...['kafka', 'single_file', 'filesystem', 'delta', 'iceberg', 'sse', 'websocket', 'polling_http', 'redis'],
]);

const kafkaMetadata = [
  { name: 'topic', type: 'string' },
  { name: 'key', type: 'string' },
  { name: 'partition', type: 'int32' },
  { name: 'offset_id', type: 'int64' },
] as const;

/** Penstock's connectors as they are, and a stand-in for each that it does not have. */
const catalog: Catalog = {
  async table() {
    return undefined;
  },
  async tableNames() {
    return [];
  },
  async inline({ connector: id, options, schema }: InlineTable) {
    if (!stoodFor.has(id)) {
      const connector = connectorFor(id);
      const profile = options.takeObject(connector.profile);
      const config = options.takeObject(connector.table);
      const { metadata } = connector;
      return {
        direction: connector.direction(config as never),
        schema: withDefaultSchema(id, schema),
        profile,
        config,
        metadata,
      };
    }
    const type = options.take('type') ?? 'source';
    const partitions = options.take('partitioning.fields')?.split(',') ?? [];
    for (const name of otherOptions) options.take(name);
    const uses = partitions.map((column) => ({ path: '/partitioning', column, types: ['string' as const] }));
    if (type === 'lookup') throw new PenstockError('invalid_config', 'Lookup tables are not supported');
    return { direction: type as 'source' | 'sink', profile: {}, config: {}, uses, metadata: kafkaMetadata };
  },
};

/** The test generator of events that some queries read without a CREATE TABLE. */
const nexmark = `CREATE TABLE nexmark (bid STRUCT<auction BIGINT, bidder BIGINT, price BIGINT, datetime TIMESTAMP, extra TEXT>,
  auction STRUCT<id BIGINT>) WITH (connector = 'kafka', format = 'json', type = 'source');\n`;

/** Compiles a query of the suite. Returns the message of its refusal, or undefined if it is accepted. */
export async function refusalOf({ query }: SuiteFile): Promise<string | undefined> {
  const known = query
    .replaceAll(/format\s*=\s*'parquet'/gi, "format = 'json'")
    .replaceAll(/create table nexmark with\s*\([^)]*\);?/gi, '');
  const text =
    /from\s+nexmark/i.test(known) && !/create table nexmark/i.test(known) ? nexmark + known : known;
  const inserts = /\binsert\s+into\b/i.test(known.replaceAll(/--.*/g, ''));
  try {
    await (inserts ? compileQuery(text, catalog) : compilePreview(text, catalog));
    return undefined;
  } catch (error) {
    const [first] = diagnosticsOf(error) ?? [];
    if (!first) throw error;
    return first.message;
  }
}

const reasons: readonly [reason: string, pattern: RegExp][] = [
  ['aggregates that only DataFusion has', /aggregate/],
  ['lookup joins', /The option format is given twice/],
  ['functions of its users', /cannot define functions/],
  ['files in partitions', /PARTITIONED BY/],
];

/** The part of docs/arroyo.md about the suites. */
export async function suiteText(files: readonly SuiteFile[]): Promise<string> {
  const accepted: string[] = [];
  const refused = new Map<string, string[]>();
  for (const file of files.filter(({ mustFail }) => !mustFail)) {
    const name = `${file.suite}/${file.name}`;
    const refusal = await refusalOf(file);
    if (refusal === undefined) accepted.push(name);
    else {
      const reason = reasons.find(([, pattern]) => pattern.test(refusal))?.[0] ?? refusal;
      refused.set(reason, [...(refused.get(reason) ?? []), name]);
    }
  }
  const total = files.filter(({ mustFail }) => !mustFail).length;
  const rows = [['accepted', accepted] as const, ...refused].map(
    ([reason, names]) => `| ${reason} | ${names.length} | ${names.join(', ')} |`,
  );
  const mustFail = files.length - total;
  return [
    `Of ${total} files, ${accepted.length} are accepted. All ${mustFail} files that must fail are refused.`,
    '',
    '| | files | |',
    '| --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
