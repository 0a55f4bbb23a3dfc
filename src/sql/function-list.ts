import { connectEngine, engineFailed } from './engine/connection.ts';
import { functionKinds, isNeverCalled, streamWindows } from './expressions.ts';
import { documented, grammarFunctions, windowFunctions } from './function-docs.ts';

/** A function that a query may call. */
export interface SqlFunction {
  name: string;
  kind: 'scalar' | 'aggregate' | 'window';
  /** One for each number of arguments, such as `round(x, precision INTEGER)`. */
  signatures: string[];
  description: string | null;
}

type Docs = ReadonlyMap<string, Pick<SqlFunction, 'signatures' | 'description'>>;

const docsOf = (texts: Readonly<Record<string, string>>): Docs =>
  new Map(
    Object.entries(texts).map(([signature, description]) => [
      signature.slice(0, signature.indexOf('(')),
      { signatures: [signature], description },
    ]),
  );

const needOver = docsOf(windowFunctions);
const docs: Docs = new Map([...docsOf(documented), ...needOver]);

/** Functions of DuckDB for itself. */
const internal =
  /[^a-z0-9_]|^(?:__|icu_|st_|variant_)|_pg_|^(?:can_cast_implicitly|cast_to_type|combine|constant_or_null|count_star|create_sort_key|finalize|format_type|is_histogram_other_bin|remap_struct|replace_type|sum_no_overflow|timetz_byte_comparable|vector_type|version)$/;

let listed: Promise<readonly SqlFunction[]> | undefined;

/** Lists the functions that a query may call, by name. Reads them from DuckDB once. */
export function listFunctions(): Promise<readonly SqlFunction[]> {
  listed ??= readFunctions().catch((error: unknown) => {
    // The next call tries again.
    listed = undefined;
    throw error;
  });
  return listed;
}

interface Overload {
  name: string;
  parameters: string[];
  types: (string | null)[];
  varargs: string | null;
  description: string | null;
}

async function readFunctions(): Promise<SqlFunction[]> {
  const connection = await connectEngine();
  try {
    const kinds = await functionKinds(connection);
    const result = await connection.runAndReadAll(
      `SELECT lower(function_name) AS name, parameters, parameter_types AS types, varargs, description
       FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro') ORDER BY ALL`,
    );
    const overloads = (result.getRowObjectsJson() as unknown as Overload[]).filter(
      ({ name }) => !internal.test(name) && !isNeverCalled(name, kinds),
    );
    const kindOf = (name: string): SqlFunction['kind'] => {
      if (needOver.has(name) || streamWindows.has(name)) return 'window';
      return kinds.aggregates.has(name) ? 'aggregate' : 'scalar';
    };
    const found = [...Map.groupBy(overloads, ({ name }) => name)].map(([name, same]) => ({
      name,
      kind: kindOf(name),
      signatures: signaturesOf(name, same),
      description: same.find(({ description }) => description)?.description ?? null,
      ...docs.get(name),
    }));
    const others = [...docsOf(grammarFunctions)].map(([name, doc]) => ({
      name,
      kind: 'scalar' as const,
      ...doc,
    }));
    return [...found, ...others].sort((one, other) => (one.name < other.name ? -1 : 1));
  } catch (error) {
    throw engineFailed('list its functions', error);
  } finally {
    connection.closeSync();
  }
}

function signaturesOf(name: string, overloads: readonly Overload[]): string[] {
  const byCount = Map.groupBy(
    overloads,
    ({ parameters, varargs }) => `${parameters.length} ${varargs !== null}`,
  );
  return [...byCount.values()].map((same) => {
    const { parameters, varargs } = same[0] as Overload;
    const shown = parameters.map((parameter, index) => {
      const types = new Set(same.map((overload) => overload.types[index] ?? 'ANY'));
      const [type = 'ANY'] = types;
      const isOne = types.size === 1 && type !== 'ANY' && type !== 'T';
      return `${nameOf(parameter, index)}${isOne ? ` ${type}` : ''}`;
    });
    return `${name}(${[...shown, ...(varargs === null ? [] : ['…'])].join(', ')})`;
  });
}

/** DuckDB calls a parameter without a name `col` and its number. */
const nameOf = (parameter: string, index: number): string =>
  /^col\d+$/.test(parameter) ? `arg${index + 1}` : parameter.replaceAll("'", '');
