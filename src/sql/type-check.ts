import type { DuckDBConnection } from '@duckdb/node-api';
import type { Findings } from './diagnostic.ts';
import {
  askEngine,
  describe,
  engineError,
  engineFailed,
  type OutputColumn,
  withTimeLimit,
} from './engine/connection.ts';
import { createTableStatement } from './field-types.ts';
import { quoteName } from './names.ts';
import { inBrackets } from './never-right.ts';
import type { Places } from './parse-tree.ts';
import type { TableDefinition } from './plan.ts';

/** A view that a SELECT needs. */
interface Readable {
  name: string;
  text: string;
  shownAs?: string;
}

const manyRows = /AGGREGATE|GROUP_BY|WINDOW|TOP_N|LIMIT|SAMPLE|ORDER_BY/;

/**
 * Asks DuckDB for the columns of a SELECT, and whether it needs more than one row. `isOwn` is false for a text that is not
 * that of the query.
 */
export async function typeCheck(
  connection: DuckDBConnection,
  { source, views }: { source: TableDefinition; views: readonly Readable[] },
  { text, isOwn }: { text: string; isOwn: boolean },
  places: Places,
  findings: Findings,
): Promise<OutputColumn[]> {
  await connection.run(createTableStatement(source.name, source.schema.fields ?? []));
  const [computed] = views;
  const hides = computed?.shownAs === source.name && computed.name.startsWith(computedPrefix);
  // The columns that a table computes are a view of another name: it takes the table's name for this text.
  const before = hides
    ? `WITH ${quoteName(source.name)} AS (SELECT * FROM ${quoteName(computed.name)}) SELECT * FROM (`
    : '';
  const checked = hides ? `${before}${text})` : text;
  try {
    for (const { name, text: definition } of views)
      await connection.run(`CREATE OR REPLACE TEMP VIEW ${quoteName(name)} AS ${definition}`);
    const output = await withTimeLimit(connection, () => describe(connection, checked));
    // Macros such as geomean hide an aggregate that the parse tree does not show.
    const plan = await withTimeLimit(connection, () =>
      askEngine(connection, `EXPLAIN (FORMAT json) ${checked}`),
    );
    if (manyRows.test(plan.replaceAll(/"extra_info":\s*\{[^{}]*\}/g, ''))) {
      const message = 'A function in this SELECT needs more than one row, which a stream cannot provide';
      findings.stop(message, places.at(undefined));
    }
    return output;
  } catch (error) {
    findings.settle();
    const { kind, message, position } = engineError(error);
    if (kind === 'INTERRUPT')
      findings.stop('Checking the query takes too long; make it simpler', places.at(0));
    if (kind === 'INTERNAL' || kind === 'FATAL' || kind === 'Unknown')
      throw engineFailed('check a query', error);
    const place = position === undefined ? undefined : position - Buffer.byteLength(before);
    const range = isOwn || place === undefined ? places.at(place) : places.like(text, place);
    const isArrow = /'json_extract(?:_string)?\(JSON, BOOLEAN\)'/.test(message);
    return findings.stop(isArrow ? inBrackets : firstSentence(message), range);
  }
}

/** The start of the name of a view that adds a table's computed columns. */
export const computedPrefix = '__computed_';

const hashes = 'md5(…) or sha256(…), the only hashes there are for texts; unhex(…) makes bytes of them';

/** How to write functions of DataFusion and others that have no equal here. */
const insteadOf: ReadonlyMap<string, string> = new Map([
  ...['sha224', 'sha384', 'sha512', 'digest'].map((name) => [name, hashes] as const),
  [
    'regexp_match',
    'regexp_extract(text, pattern, 1) for a group, or regexp_matches(text, pattern) as a condition',
  ],
  ['regexp_instr', 'strpos(text, regexp_extract(text, pattern))'],
  ['named_struct', "{'name': value, …}"],
  ['struct', "{'name': value, …}"],
  ['make_map', 'map([key, …], [value, …])'],
  ['arrow_cast', 'CAST(value AS type), such as CAST(value AS INTEGER)'],
  ['arrow_typeof', 'typeof(value)'],
  ['isnull', 'value IS NULL, or ifnull(value, other)'],
  ['get_field', 'name.member'],
  ['to_local_time', "value AT TIME ZONE 'Europe/Berlin'"],
  ['charindex', 'strpos(text, part)'],
  ['dateadd', "value + INTERVAL '1 day'"],
  ['date_add', "value + INTERVAL '1 day'"],
  ['date_sub', "value - INTERVAL '1 day'"],
  ['getdate', 'now()'],
]);

/** Aggregates of DataFusion that DuckDB does not know. */
const streamAggregates =
  /^(?:approx_distinct|approx_median|approx_percentile_cont(?:_with_weight)?|percentile_cont|var_sample|var_population|covar)$/;

/** DuckDB's message without the hints for its own users. */
export function firstSentence(message: string): string {
  const [first = message] = message.split('\n');
  const [, name] = /^Scalar Function with name "?(\w+)"? does not exist/.exec(first) ?? [];
  if (name !== undefined) {
    const key = name.toLowerCase();
    if (streamAggregates.test(key))
      return `There is no aggregate ${name}; write approx_quantile, quantile_cont, var_samp or another of DuckDB`;
    const instead = insteadOf.get(key);
    return `The function ${name} does not exist; ${instead ? `write ${instead}` : 'a query cannot define functions'}`;
  }
  return first.replace(/[!.]$/, '');
}
