import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anything, readings, refusal, stored } from '../../test/support/compile-fixtures.ts';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import { PenstockError } from '../errors.ts';
import type { Field } from '../formats/schema/schema.ts';
import { diagnose } from './compile.ts';
import type { Catalog } from './plan.ts';

/** Each refused SELECT, with the message and the marked words. */
const refusedSelects: [select: string, message: string, at: string][] = [
  ['SELECT id, celsius FROM readings JOIN alerts ON true', 'alerts is a sink and cannot be', 'alerts'],
  ['SELECT id, celsius FROM readings, readings r', 'Several tables have a column id', 'id'],
  ['SELECT count(*), max(celsus) FROM readings', 'There is no column celsus; did you', 'celsus'],
  ['SELECT count(*), max(r.nope) FROM readings r', 'There is no column nope', 'r.nope'],
  ['SELECT id, celsius FROM (SELECT * FROM readings LIMIT 5)', 'LIMIT and OFFSET are not supported', ''],
  ['SELECT id, celsius FROM (SELECT nope, celsius FROM readings)', 'There is no column nope', 'nope'],
  ['SELECT id, c FROM (SELECT id, name + 1 AS c FROM readings)', 'No function matches', ''],
  ['SELECT id, id FROM (SELECT id, id FROM readings)', 'has two columns called id; rename one with AS', ''],
  ['SELECT a, b FROM (SELECT id, celsius FROM readings) q(a, b)', 'Column names after the table', ''],
  ["SELECT * FROM (SELECT id, getenv('HOME') FROM readings)", 'The function getenv is not', 'getenv'],
  ['SELECT id, celsius FROM (VALUES (1, 2))', 'VALUES is not supported', ''],
  [
    `SELECT id, celsius FROM ${'(SELECT * FROM '.repeat(40)}readings${')'.repeat(40)}`,
    'at most 30 levels',
    '',
  ],
  [
    'WITH x AS (SELECT count(*) c FROM readings) SELECT c, c FROM x',
    'alerts cannot take results that change',
    '',
  ],
  ["WITH x AS (SELECT getenv('A')) SELECT id, celsius FROM readings", 'WITH x is never read', 'WITH'],
  ['WITH x(a) AS (SELECT id FROM readings) SELECT a, a FROM x', 'Column names after a name of WITH', 'WITH'],
  [
    'SELECT id, celsius FROM (SELECT * FROM readings UNION ALL SELECT * FROM readings)',
    'UNION ALL is not supported here',
    '',
  ],
  [
    'SELECT id, celsius FROM readings GROUP BY tumble(interval 1 second)',
    'id must be in GROUP BY or in an aggregate, such as max(id)',
    'id',
  ],
  [
    "SELECT window.end, c FROM (SELECT hop(interval '1 s') AS window)",
    'FROM and the name of a source table are missing',
    '',
  ],
  ['SELECT id, count(*) WITHIN GROUP (ORDER BY id) FROM readings', 'Unknown ordered aggregate', ''],
  ['SELECT id, (SELECT 1) FROM readings', 'A SELECT inside an expression is not supported', '(SELECT'],
  ['SELECT id, celsius FROM readings WHERE id IN (SELECT 1)', 'A SELECT inside an expression', 'IN'],
  [
    'WITH RECURSIVE x AS (SELECT 1 UNION SELECT 2) SELECT * FROM x',
    'WITH RECURSIVE is not supported',
    'RECURSIVE',
  ],
  ['SELECT count(*), celsius FROM readings', 'celsius must be in GROUP BY', 'celsius'],
  ['SELECT max(id), celsius FROM readings', 'celsius must be in GROUP BY', 'celsius'],
  ['SELECT id, geomean(celsius) FROM readings', 'id must be in GROUP BY', 'id'],
  ['SELECT DISTINCT id, celsius FROM readings', 'DISTINCT is not supported', 'DISTINCT'],
  ['SELECT id, celsius FROM readings GROUP BY ALL', 'GROUP BY is not supported', 'GROUP'],
  ['SELECT id, celsius FROM readings GROUP BY id, celsius', 'alerts cannot take results that change', ''],
  [
    'SELECT id, celsius FROM readings GROUP BY tumble(interval 1 second) AS w',
    'tumble is for a GROUP BY with aggregates',
    'tumble',
  ],
  ['SELECT id, celsius FROM readings HAVING true', 'HAVING needs an aggregate', 'HAVING'],
  ['SELECT id, celsius FROM readings ORDER BY id', 'ORDER BY is not supported', 'ORDER'],
  ['SELECT id, celsius FROM readings LIMIT 5', 'LIMIT and OFFSET are not supported', 'LIMIT'],
  [
    'SELECT row_number() OVER (), celsius FROM readings',
    'Window functions need the rows of a window',
    'row_number',
  ],
  ['SELECT id, celsius FROM readings UNION SELECT id, celsius FROM readings', 'UNION, EXCEPT and', 'UNION'],
  ['SELECT id, celsius FROM readings TABLESAMPLE 10%', 'TABLESAMPLE is not supported', 'TABLESAMPLE'],
  ['SELECT id, celsius FROM readings USING SAMPLE 10%', 'is not supported', ''],
  ["SELECT * FROM read_csv('/etc/passwd')", 'Table functions are not supported', 'read_csv'],
  ['SELECT * FROM generate_series(1, 1000000000000)', 'Table functions are not supported', 'generate_series'],
  ["SELECT * FROM '/etc/passwd'", 'There is no table called /etc/passwd', "'/etc/passwd'"],
  ['SELECT * FROM duckdb_settings()', 'Table functions are not supported', 'duckdb_settings'],
  ['SELECT * FROM information_schema.tables', 'Schemas are not supported', 'information_schema'],
  ['SELECT * FROM sqlite_master', 'There is no table called sqlite_master', 'sqlite_master'],
  ['VALUES (1, 2)', 'VALUES is not supported', ''],
  ['SELECT 1, 2', 'FROM and the name of a source table are missing', ''],
  ['SHOW TABLES', 'Only a SELECT is allowed here', ''],
  ['DESCRIBE readings', 'Only a SELECT is allowed here', ''],
  ['PIVOT readings ON id', 'Only a SELECT can follow', 'PIVOT'],
  ['DELETE FROM readings', 'Only a SELECT can follow', 'DELETE'],
  ["COPY readings TO '/tmp/x'", 'Only a SELECT can follow', 'COPY'],
  ["ATTACH '/tmp/x.db'", 'Only a SELECT can follow', 'ATTACH'],
  ['INSTALL httpfs', 'Only a SELECT can follow', 'INSTALL'],
  ['PRAGMA database_list', 'Only a SELECT can follow', 'PRAGMA'],
  ['SET threads = 4', 'Only a SELECT can follow', 'SET'],
  ["SELECT id, getenv('HOME') FROM readings", 'The function getenv is not available', 'getenv'],
  ['SELECT id, sleep_ms(1000000) FROM readings', 'The function sleep_ms is not available', 'sleep_ms'],
  [
    "SELECT id, current_setting('memory_limit') FROM readings",
    'The function current_setting',
    'current_setting',
  ],
  ["SELECT * FROM read_text('/etc/passwd')", 'Table functions are not supported', 'read_text'],
  ["SELECT * FROM glob('/*')", 'Table functions are not supported', 'glob'],
  ["SELECT * FROM query('SELECT 1')", 'Table functions are not supported', 'query'],
  ["SELECT * FROM query_table('alerts')", 'Table functions are not supported', 'query_table'],
  ['SELECT * FROM duckdb_secrets()', 'Table functions are not supported', 'duckdb_secrets'],
  ['SELECT * FROM pg_catalog.pg_tables', 'Schemas are not supported', 'pg_catalog'],
  ["SELECT id, getvariable('x') FROM readings", 'The function getvariable is not available', 'getvariable'],
  ['SELECT id, txid_current() FROM readings', 'The function txid_current is not available', 'txid_current'],
  ['SELECT id, random() FROM readings', 'returns a different value at each call', 'random'],
  ['SELECT id, uuid() FROM readings', 'returns a different value at each call', 'uuid'],
  ['SELECT id, gen_random_uuid() FROM readings', 'returns a different value at each call', 'gen_random_uuid'],
  ['LOAD httpfs', 'Only a SELECT can follow', 'LOAD'],
  ["EXPORT DATABASE 'x'", 'Only a SELECT can follow', 'EXPORT'],
  ['CALL pragma_version()', 'Only a SELECT can follow', 'CALL'],
  ["SELECT id, write_log('x') FROM readings", 'The function write_log is not available', 'write_log'],
  ["SELECT id, nextval('s') FROM readings", 'The function nextval is not available', 'nextval'],
  ['SELECT id, $1 FROM readings', 'Parameters such as ? or $1', ''],
  ['SELECT id, ? FROM readings', 'Parameters such as ? or $1', ''],
  ['SELECT COLUMNS(*) FROM readings', 'COLUMNS(…) is not supported', 'COLUMNS'],
  ['SELECT id, celsius FROM alerts', 'alerts is a sink and cannot be read from', 'alerts'],
  ['SELECT id, celsius FROM reading', 'There is no table called reading; did you mean readings?', 'reading'],
  ['SELECT id, celsus FROM readings', 'There is no column celsus; did you mean celsius?', 'celsus'],
  ['SELECT id, "CELSIUS" FROM readings', 'There is no column CELSIUS', '"CELSIUS"'],
  ['SELECT id, readings FROM readings', 'There is no column readings', 'readings FROM'],
  ['SELECT id, rowid FROM readings', 'There is no column rowid', 'rowid'],
  [
    'SELECT id, current_timestamp FROM readings',
    'current_timestamp is not supported; write now()',
    'current_t',
  ],
  ['SELECT id, place.nope FROM readings', 'Could not find key "nope" in struct', ''],
  ['SELECT id, list_transform(tags, x -> y) FROM readings', 'There is no column y', 'y)'],
  ['SELECT id, celsius FROM readings AS r(a, b)', 'Column names after the table', 'readings'],
  ['SELECT id, nope(celsius) FROM readings', 'The function nope does not exist', 'nope'],
  ['SELECT id, len(range(1000000000)) FROM readings', 'The size given to range must be', 'range'],
  ["SELECT id, len(repeat('x', id)) FROM readings", 'The size given to repeat must be', 'repeat'],
  [
    "SELECT id, len(repeat(repeat('x', 999), 999)) FROM readings",
    'repeat is not supported inside',
    "repeat('x'",
  ],
  [
    'SELECT id, list_transform(tags, x -> range(10)) FROM readings',
    'range is not supported inside a lambda',
    'range',
  ],
  [
    "SELECT id, list_transform(range(1000), x -> lpad('x', 1000)) FROM readings",
    'list_transform is not supported when both',
    'list_transform',
  ],
  ["SELECT id, repeat('x', 100) AS a, repeat(a, 100) AS b FROM readings", 'Sizes multiply here', 'repeat(a'],
  [
    "SELECT id, printf('%999999999d', id) FROM readings",
    'The format of printf must be a literal string with widths below 1000',
    'printf',
  ],
  ["SELECT id, format('{:>{}}', name, id) FROM readings", 'The format of format must be', 'format'],
  ['SELECT id, format(name, id) FROM readings', 'The format of format must be', 'format'],
  [
    `SELECT name AS a0, ${Array.from({ length: 30 }, (_, i) => `a${i} || a${i} AS a${i + 1}`).join(', ')} FROM readings`,
    'This expression is too large once the names given with AS',
    '|| a10',
  ],
  ['SELECT id, celsius +', 'syntax error at end of input', ''],
  ["SELECT 'ü', selec celsius x FROM readings", 'syntax error at or near "x"', 'x FROM'],
  ['SELECT id FROM readings', 'The SELECT has 1 column, but the sink has 2: id, celsius', 'SELECT'],
  ['SELECT * FROM readings', 'The SELECT has 6 columns, but the sink has 2', 'SELECT'],
  [
    'SELECT id, name FROM readings',
    'name is TEXT, but the column celsius of the sink is DOUBLE; write CAST(',
    'name',
  ],
  [
    'SELECT celsius, id FROM readings',
    'celsius is DOUBLE, but the column id of the sink is BIGINT',
    'celsius',
  ],
  ['SELECT NULL, celsius FROM readings', 'The column id of the sink must not be null', 'NULL'],
  ['SELECT id, INTERVAL 1 DAY FROM readings', 'but the column celsius of the sink is DOUBLE', '1'],
];

describe('a SELECT that is invalid on a stream', () => {
  test.each(refusedSelects)('is refused: %s', async (select, message, at) => {
    const query = `-- ünïcode\nINSERT INTO alerts\n${select};`;
    const [first, ...rest] = await refusal(query);
    expect([first, ...rest].map((diagnostic) => diagnostic?.message).join('\n')).toContain(message);
    if (at === '') return;
    const start = { line: 3, column: select.indexOf(at) + 1 };
    expect([first, ...rest].map((diagnostic) => diagnostic?.span?.start)).toContainEqual(start);
  });
});

/** Each refused query outside its SELECT. */
const refusedQueries: [query: string, message: string, line?: number, column?: number][] = [
  ['', 'The query has no SELECT or INSERT INTO … SELECT statement'],
  ['-- only a comment', 'The query has no SELECT or INSERT INTO … SELECT statement'],
  ['UPDATE readings SET id = 1', 'a query consists of CREATE TABLE, CREATE VIEW, INSERT INTO', 1, 1],
  ['CREATE INDEX i ON readings (id)', 'Only tables and views can be created', 1, 8],
  ['INSERT INTO alerts (id) SELECT id FROM readings', 'A column list is not supported here', 1, 20],
  ['INSERT INTO alerts', 'A SELECT is missing here', 1, 19],
  ['INSERT INTO alrts SELECT 1', 'There is no table called alrts; did you mean alerts?', 1, 13],
  ['INSERT INTO readings SELECT 1', 'readings is a source and cannot be written to', 1, 13],
  ['INSERT INTO a.alerts SELECT 1', 'Schemas are not supported', 1, 14],
  ["INSERT INTO alerts SELECT 'abc", 'This string is not closed', 1, 27],
  ["INSERT INTO alerts SELECT E'a'", 'Escape strings', 1, 27],
  ['INSERT INTO alerts /* SELECT', 'This comment is not closed', 1, 20],
  ['INSERT INTO "alerts', 'This quoted name is not closed', 1, 13],
  ['CREATE TABLE t (a INT) x', 'WITH is missing after the columns', 1, 24],
  ['CREATE TABLE t (a NOPE) WITH ()', 'There is no type NOPE', 1, 19],
  ['CREATE TABLE t (a INTEGR) WITH ()', 'did you mean integer', 1, 19],
  ['CREATE TABLE t (a TIMESTAMP(4)) WITH ()', 'The precision of a timestamp must be 0, 3, 6 or 9', 1, 29],
  ['CREATE TABLE t (a DECIMAL(40)) WITH ()', 'A decimal must have 1 to 38 digits', 1, 27],
  ['CREATE TABLE t (a INT, A INT) WITH ()', 'Two columns are called A', 1, 24],
  ["CREATE TABLE t (a INT) WITH (x = 'a', x = 'b')", 'The option x is given twice', 1, 39],
  ['CREATE TABLE t (a INT) WITH (x = =)', 'The value of the option x must be a string', 1, 34],
  ['CREATE TABLE t (a INT) WITH (x = NULL)', 'The option x cannot be NULL', 1, 34],
  ["CREATE TABLE t (a INT) WITH (x = interval 'soon')", 'The INTERVAL of the option x must have', 1, 34],
  ["CREATE TABLE t (a INT) WITH (x = ['a', 'b')", '] is missing after the last item', 1, 43],
  ["CREATE TABLE t (a INT) WITH (topic = 'x')", 'The option connector is missing', 1, 24],
  ["CREATE TABLE t (a INT DEFAULT 1) WITH (connector = 'mqtt')", 'can follow the type of a column', 1, 23],
];

describe('a query of the wrong form', () => {
  test.each(refusedQueries)('is refused: %s', async (query, message, line, column) => {
    const text = query.startsWith('CREATE TABLE')
      ? `${query}; INSERT INTO alerts SELECT 1 FROM readings`
      : query;
    const wanted = line === undefined ? undefined : { line, column };
    const found = await refusal(text);
    expect(found[0]?.message).toContain(message);
    expect(found[0]?.span?.start).toEqual(wanted);
  });

  const options = "connector = 'mqtt', type = 'source', format = 'json'";
  const wrongTables: [table: string, message: string][] = [
    [`(a INT) WITH (${options}, topik = 'x')`, 'There is no option topik here; did you mean topic?'],
    [`(a INT) WITH (${options}, json.unstructurd = 'true')`, 'did you mean json.unstructured?'],
    [`(a INT) WITH (${options}, qos = 'two')`, 'The option qos must be a whole number'],
    [
      `(a INT) WITH (${options}, bad_data = 'hide')`,
      'The option bad_data must be one of fail, drop, dead_letter',
    ],
    [
      `(a INT) WITH (${options}, bad_data = 'drop', bad_data.max_count = 5)`,
      'There is no option bad_data.max_count here',
    ],
    [`(a INT) WITH (${options}, bad_data.when_full = 'fail')`, 'There is no option bad_data.when_full here'],
    [
      `(a INT) WITH (${options}, bad_data = 'dead_letter', bad_data.when_full = 'drop_new')`,
      'The option bad_data.when_full must be one of drop_oldest, fail',
    ],
    [`(a INT) WITH (${options}, bad_data = 'dead_letter', bad_data.max_count = 0)`, 'max_count'],
    [`(a INT) WITH (${options}, bad_data = 'dead_letter', bad_data.max_count = 1.5)`, 'max_count'],
    [`(a INT) WITH (${options}, bad_data = 'dead_letter', bad_data.max_bytes = -1)`, 'max_bytes'],
    [`(a INT) WITH (${options}, bad_data = 'dead_letter', bad_data.max_count = 100000000000)`, 'max_count'],
    [`(a INT) WITH (${options}, json.unstructured = 'maybe')`, "must be 'true' or 'false'"],
    [`(a INT) WITH (${options}, json.unstructured = 'true')`, 'Unstructured json needs exactly one field'],
    [`WITH (${options})`, 'The schema needs at least one field'],
    ["(a INT) WITH (connector = 'mqtt', type = 'source')", 'The schema needs a format'],
    ["(a INT) WITH (connector = 'mqtt', format = 'xml')", 'The option format must be one of '],
    [`(a INT) WITH (${options}, csv.delimiter = ';')`, 'There is no option csv.delimiter here'],
    [`(a INT) WITH (${options}, json.compression = 'zip')`, 'must be one of uncompressed, gzip'],
    [
      `(a INT) WITH (${options}, json.subject = 'a')`,
      'subject is of a schema registry: set confluent_schema_registry',
    ],
    [`(a INT) WITH (${options}, framing = 'tabs')`, 'The option framing must be one of newline'],
    [
      `(a INT) WITH (${options}, framing = 'newline', framing.newline.max_length = 0)`,
      'max_line_length must be at least 1',
    ],
    [
      "(a INT) WITH (connector = 'mqtt', type = 'source', format = 'csv', csv.delimiter = ';;')",
      'The delimiter must be one ASCII character',
    ],
    ["(a INT) WITH (connector = 'kinesis', format = 'json')", 'There is no connector kinesis'],
    [
      `(a INT, t TEXT METADATA FROM 'qos') WITH (${options})`,
      'The connector has no metadata called qos: it has topic',
    ],
    [`(a INT, t INT METADATA FROM 'topic') WITH (${options})`, 'The metadata topic is of type string'],
    [
      `(a INT, t TEXT METADATA FROM 'topic') WITH (connector = 'mqtt', type = 'sink', format = 'json')`,
      'is for sources',
    ],
  ];
  test.each(wrongTables)('is refused for its table: %s', async (table, message) => {
    const found = await refusal(
      `CREATE TABLE t ${table}; INSERT INTO alerts SELECT id, celsius FROM readings`,
    );
    expect(found.map((diagnostic) => diagnostic.message).join('\n')).toContain(message);
    expect(found[0]?.span?.start.line).toBe(1);
  });

  test.each([
    ['/qos', "'9'"],
    ['/type/qos', "'9'"],
    ['/will/qos', "'7'"],
    ['/maxSilenceSecs', '5'],
    ['/nothing', 'WITH'],
  ])('points to the option behind the path %s of the connector', async (path, at) => {
    const refusing: Catalog = {
      ...stored(),
      async inline({ options: given }) {
        for (const name of ['connector', 'qos', 'will.qos', 'source.max_silence_secs']) given.take(name);
        throw new PenstockError('invalid_config', 'no', { errors: [{ path, message: 'is wrong' }] });
      },
    };
    const table = `CREATE TABLE t (a INT) WITH (connector = 'mqtt', qos = '9', will.qos = '7', source.max_silence_secs = 5)`;
    const found = await refusal(`${table}; INSERT INTO alerts SELECT 1 FROM t`, refusing);
    expect(found).toMatchObject([
      { message: `${path}: is wrong`, span: { start: { line: 1, column: table.indexOf(at) + 1 } } },
    ]);
  });

  test('cannot hold two fields that differ only in case', async () => {
    const twins = storedTable('twins', 'source', [
      { name: 'a', type: 'int32' },
      { name: 'A', type: 'int32' },
    ]);
    const found = await refusal(`${anything}INSERT INTO copy SELECT * FROM twins`, exampleCatalog(twins));
    expect(found[0]?.message).toContain('the fields a and A, which are the same name in SQL');
  });

  test('cannot be a sink with such fields either: a query would write one value to both', async () => {
    const twins = storedTable('twins', 'sink', [
      { name: 'a', type: 'int32' },
      { name: 'A', type: 'int32' },
    ]);
    const found = await refusal(
      'INSERT INTO twins SELECT 1, 2 FROM readings',
      exampleCatalog(readings, twins),
    );
    expect(found[0]?.message).toContain('the fields a and A, which are the same name in SQL');
  });

  test('cannot hold a struct with a member that DuckDB loses', async () => {
    const member: Field = { name: '__proto__', type: 'int32' };
    const odd = storedTable('odd', 'source', [{ name: 'a', type: 'struct', fields: [member] }]);
    const found = await refusal(`${anything}INSERT INTO copy SELECT * FROM odd`, exampleCatalog(odd));
    expect(found[0]?.message).toContain('a struct with a member __proto__');
  });

  test('becomes a plan or diagnostics, whatever the text', async () => {
    const word = fc.constantFrom(
      ...[
        'CREATE',
        'TABLE',
        'INSERT',
        'INTO',
        'alerts',
        'SELECT',
        'FROM',
        'readings',
        'WITH',
        '(',
        ')',
        ',',
        ';',
      ],
      ...[
        "'",
        '"',
        '$$',
        '--',
        '/*',
        '*/',
        '=',
        '*',
        'id',
        'celsius',
        "'mqtt'",
        'connector',
        'WHERE',
        '1',
        '->',
        '\n',
      ],
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(word).map((words) => words.join(' ')),
      fc.array(word).map((words) => `INSERT INTO alerts SELECT id, celsius FROM readings ${words.join(' ')}`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (query) => {
        const result = await diagnose(query, stored());
        if ('diagnostics' in result) expect(result.diagnostics.length).toBeGreaterThan(0);
      }),
      { numRuns: 150 },
    );
  });
});
