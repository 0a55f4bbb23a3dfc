/**
 * Functions of Arroyo's SQL (DataFusion's, and those for JSON) that DuckDB does not have, as macros. A function that
 * DuckDB has keeps DuckDB's meaning; a macro of its name only adds arguments.
 */

/** The operator `?` under a name that DuckDB takes for an operator: `?` would be a parameter. */
export const hasKey = '`';

type Overload = readonly [parameters: string, expression: string];

const found = (document: string, keys: readonly string[]): string =>
  keys.reduce((value, key) => `json_extract(${value}, ${key})`, document);

const keyLists = [['a'], ['a', 'b'], ['a', 'b', 'c'], ['a', 'b', 'c', 'd']];

/** A function of a document and one to four keys or positions. A text that is not JSON has no members. */
const ofMember = (write: (member: string) => string): Overload[] =>
  keyLists.map((keys) => [`j, ${keys.join(', ')}`, write(`TRY(${found('j', keys)})`)]);

const typed = (types: string, result: string) =>
  ofMember(
    (member) => `CASE WHEN json_type(${member}) IN (${types}) THEN ${result.replace('@', member)} END`,
  );

const lengthOf = (value: string): string =>
  `CAST(CASE json_type(${value}) WHEN 'ARRAY' THEN json_array_length(${value}) WHEN 'OBJECT' THEN len(json_keys(${value})) END AS BIGINT)`;

/** All that a path finds, as JSON texts; a path without * or .. finds one value. */
const allFound = `CAST(CASE WHEN contains(p, '*') OR contains(p, '..') THEN to_json(TRY(json_extract(v, p)))
  ELSE to_json(list_filter([TRY(json_extract(v, p))], lambda x: x IS NOT NULL)) END AS JSON[])`;

const utc = (text: string) => `CAST(CAST(${text} AS TIMESTAMPTZ) AS TIMESTAMP)`;

/** The type of a window. The planner replaces calls of these functions. */
const windowStruct = `struct_pack("start" := TIMESTAMP 'epoch', "end" := TIMESTAMP 'epoch')`;

const definitions: Readonly<Record<string, readonly Overload[]>> = {
  extract_json: [['v, p', `CAST(${allFound} AS VARCHAR[])`]],
  extract_json_string: [
    [
      'v, p',
      `list_transform(${allFound}[1:1], lambda x: CASE WHEN json_type(x) = 'VARCHAR' THEN x->>'$' END)[1]`,
    ],
  ],
  get_first_json_object: [['v, p', `CAST(${allFound}[1] AS VARCHAR)`]],
  json_get: ofMember((member) => member),
  json_get_json: ofMember((member) => `CAST(${member} AS VARCHAR)`),
  json_get_str: typed("'VARCHAR'", "json_extract_string(@, '$')"),
  json_get_int: typed("'BIGINT', 'UBIGINT'", 'CAST(@ AS BIGINT)'),
  json_get_float: typed("'DOUBLE', 'BIGINT', 'UBIGINT'", 'CAST(@ AS DOUBLE)'),
  json_get_bool: typed("'BOOLEAN'", 'CAST(@ AS BOOLEAN)'),
  json_get_array: typed("'ARRAY'", 'CAST(CAST(@ AS JSON[]) AS VARCHAR[])'),
  json_as_text: ofMember((member) => `json_extract_string(${member}, '$')`),
  json_length: [['j', lengthOf('TRY(CAST(j AS JSON))')], ...ofMember(lengthOf)],
  json_object_keys: [['j', 'json_keys(j)'], ...ofMember((member) => `json_keys(${member})`)],
  [hasKey]: [['j, a', 'COALESCE(TRY(json_exists(j, a)), false)']],
  to_timestamp: [
    ['x DOUBLE', 'CAST(system.main.to_timestamp(x) AS TIMESTAMP)'],
    ['x TIMESTAMP', 'x'],
    ['x VARCHAR', 'CAST(x AS TIMESTAMP_NS)'],
    ['x, f', 'strptime(x, f)'],
  ],
  to_timestamp_seconds: [
    ['x BIGINT', 'CAST(make_timestamp(x * 1000000) AS TIMESTAMP_S)'],
    ['x VARCHAR', `CAST(${utc('x')} AS TIMESTAMP_S)`],
    ['x TIMESTAMP', 'CAST(x AS TIMESTAMP_S)'],
  ],
  to_timestamp_millis: [
    ['x BIGINT', 'CAST(epoch_ms(x) AS TIMESTAMP_MS)'],
    ['x VARCHAR', `CAST(${utc('x')} AS TIMESTAMP_MS)`],
    ['x TIMESTAMP', 'CAST(x AS TIMESTAMP_MS)'],
  ],
  to_timestamp_micros: [
    ['x BIGINT', 'make_timestamp(x)'],
    ['x VARCHAR', utc('x')],
    ['x TIMESTAMP', 'x'],
  ],
  to_timestamp_nanos: [
    ['x BIGINT', 'make_timestamp_ns(x)'],
    ['x VARCHAR', 'CAST(x AS TIMESTAMP_NS)'],
    ['x TIMESTAMP', 'CAST(x AS TIMESTAMP_NS)'],
  ],
  from_unixtime: [['x', 'CAST(make_timestamp(CAST(x AS BIGINT) * 1000000) AS TIMESTAMP_S)']],
  to_unixtime: [
    ['x TIMESTAMP', 'CAST(floor(epoch(x)) AS BIGINT)'],
    ['x VARCHAR', `CAST(floor(epoch(${utc('x')})) AS BIGINT)`],
  ],
  to_date: [
    ['x', 'CAST(x AS DATE)'],
    ['x, f', 'CAST(strptime(x, f) AS DATE)'],
  ],
  to_char: [['x, f', 'strftime(x, f)']],
  date_format: [['x, f', 'strftime(x, f)']],
  date_bin: [
    ['w, x', "time_bucket(w, x, TIMESTAMP '1970-01-01')"],
    ['w, x, o', 'time_bucket(w, x, CAST(o AS TIMESTAMP))'],
  ],
  row_time: [['', 'CAST(now() AS TIMESTAMP)']],
  tumble: [['w', windowStruct]],
  hop: [['s, w', windowStruct]],
  session: [['g', windowStruct]],
  // Set while windows close before their time.
  closed_early: [['', "COALESCE(CAST(getvariable('closed_early') AS BOOLEAN), false)"]],
  btrim: [
    ['x', 'trim(x)'],
    ['x, c', 'trim(x, c)'],
  ],
  initcap: [
    [
      'x',
      "array_to_string(list_transform(regexp_extract_all(x, '[\\p{L}\\p{N}]+|[^\\p{L}\\p{N}]+'), lambda w: upper(w[1]) || lower(w[2:])), '')",
    ],
  ],
  overlay: [
    ['x, y, n', overlaid('length(y)')],
    ['x, y, n, m', overlaid('m')],
  ],
  find_in_set: [['x, l', "COALESCE(list_position(string_split(l, ','), x), 0)"]],
  substr_index: [['x, d, n', indexed()]],
  substring_index: [['x, d, n', indexed()]],
  encode: [
    ['x', 'system.main.encode(x)'],
    [
      'x, f',
      "CASE lower(f) WHEN 'hex' THEN lower(hex(x)) WHEN 'base64' THEN rtrim(to_base64(CAST(x AS BLOB)), '=') END",
    ],
  ],
  decode: [
    ['x', 'system.main.decode(x)'],
    [
      'x, f',
      "CASE lower(f) WHEN 'hex' THEN unhex(x) WHEN 'base64' THEN from_base64(rpad(x, ((length(x) + 3) // 4 * 4)::INTEGER, '=')) END",
    ],
  ],
  regexp_like: [
    ['x, p', 'regexp_matches(x, p)'],
    ['x, p, f', "regexp_matches(x, '(?' || f || ')' || p)"],
  ],
  regexp_count: [['x, p', 'len(regexp_extract_all(x, p))']],
  octet_length: [
    ['x VARCHAR', 'strlen(x)'],
    ['x BLOB', 'system.main.octet_length(x)'],
  ],
  nvl: [['x, y', 'COALESCE(x, y)']],
  nvl2: [['x, y, z', 'CASE WHEN x IS NOT NULL THEN y ELSE z END']],
  nanvl: [['x, y', 'CASE WHEN isnan(x) THEN y ELSE x END']],
  signum: [['x', 'sign(x)']],
  iszero: [['x', '(x = 0)']],
  array_element: [['l, n', 'list_extract(l, n)']],
  array_remove_all: [['l, x', 'list_filter(l, lambda y: y IS DISTINCT FROM x)']],
  array_empty: [['l', '(len(l) = 0)']],
  make_array: [1, 2, 3, 4, 5, 6, 7, 8].map((count) => {
    const names = Array.from({ length: count }, (_, index) => `x${index}`).join(', ');
    return [names, `[${names}]`] as const;
  }),
};

/** `x` with `y` in place of `count` characters from the nth. */
function overlaid(count: string): string {
  return `substr(x, 1, n - 1) || y || substr(x, n + ${count})`;
}

function indexed(): string {
  const parts = 'string_split(x, d)';
  return `array_to_string(CASE WHEN n > 0 THEN ${parts}[1:n] ELSE ${parts}[greatest(len(${parts}) + n + 1, 1):] END, d)`;
}

/** The statements that create them. */
export const macros: readonly string[] = Object.entries(definitions).map(
  ([name, overloads]) =>
    `CREATE MACRO "${name}" ${overloads.map(([parameters, body]) => `(${parameters}) AS ${body}`).join(', ')}`,
);

/** How many times an argument of a macro is evaluated, at most, by the macro's name. */
export const copies: ReadonlyMap<string, number> = new Map(
  Object.entries(definitions).map(([name, overloads]) => [
    name,
    Math.max(
      ...overloads.map(([parameters, body]) => {
        const names = parameters.split(',').map((one) => one.trim().split(' ')[0] ?? '');
        return Math.max(1, ...names.map((one) => body.match(new RegExp(`\\b${one}\\b`, 'g'))?.length ?? 0));
      }),
    ),
  ]),
);
