import { parseArgs } from 'node:util';
import type { Row } from '../src/formats/format.ts';
import type { Field } from '../src/formats/schema/schema.ts';
import { compileQuery } from '../src/sql/compile.ts';
import { openTransform } from '../src/sql/open-transform.ts';
import type { InsertPlan } from '../src/sql/plan.ts';
import type { Transform } from '../src/sql/transform.ts';
import { exampleCatalog, storedTable } from '../test/support/example-catalog.ts';

/**
 * Measures the cost of transforming one message, by the number of messages in a batch: the same SELECT compiled and
 * in DuckDB, in turn and in the same run. Prints a Markdown table on stdout.
 */

const usage = 'usage: node bench/sql.ts [--seconds 1] [--rounds 3]\n';

const fields: Field[] = [
  { name: 'device', type: 'string' },
  { name: 'celsius', type: 'float64' },
  { name: 'seq', type: 'int64' },
  { name: 'taken', type: 'timestamp', unit: 'microsecond' },
  { name: 'raw', type: 'json' },
];

const selects = {
  'filter + projection': 'SELECT device, celsius, seq FROM i WHERE celsius > 10 AND device IS NOT NULL',
  'arithmetic, CASE, text': `SELECT upper(device) AS device, celsius * 1.8 + 32 AS fahrenheit, seq + 1 AS seq,
    CASE WHEN celsius > 30 THEN 'hot' ELSE 'fine' END AS state FROM i WHERE device LIKE 'sensor%'`,
  'JSON and time': `SELECT raw->>'$.room.name' AS room, CAST(raw->>'$.level' AS INTEGER) AS level,
    date_trunc('minute', taken) AS minute, epoch_ms(taken) AS ms FROM i`,
};

const batchSizes = [1, 10, 100, 1000];

function row(index: number): Row {
  return {
    device: `sensor-${index % 50}`,
    celsius: 15 + (index % 200) / 10,
    seq: BigInt(index),
    taken: 1_769_847_300_250_000n + BigInt(index) * 1_000_000n,
    raw: `{"room":{"name":"hall ${index % 7}","floor":2},"level":${index % 100},"ok":true}`,
  };
}

async function planned(select: string): Promise<InsertPlan> {
  const sink = "CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');";
  const plan = await compileQuery(
    `${sink} INSERT INTO o ${select}`,
    exampleCatalog(storedTable('i', 'source', fields)),
  );
  const [insert] = plan.inserts;
  if (insert?.select.kind !== 'compiled') throw new Error(`${select} is not compiled`);
  return insert;
}

/** CPU time of all threads for one message, in microseconds, in batches of this size. */
async function measure(transform: Transform, rows: readonly Row[], seconds: number): Promise<number> {
  await transform.run(rows);
  const [until, before] = [performance.now() + seconds * 1000, process.cpuUsage()];
  let messages = 0;
  while (performance.now() < until) {
    const { bad } = await transform.run(rows);
    if (bad.length > 0) throw new Error('a row failed');
    messages += rows.length;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / messages;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function compareAt(size: number, insert: InsertPlan, seconds: number, rounds: number) {
  const { select } = insert;
  if (select.kind !== 'compiled') throw new Error('not compiled');
  const compiled = await openTransform(insert);
  const engine = await openTransform({
    ...insert,
    select: { ...select, kind: 'sql', because: 'the benchmark' },
  });
  const rows = Array.from({ length: size }, (_, index) => row(index));
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    ours.push(await measure(compiled, rows, seconds));
    theirs.push(await measure(engine, rows, seconds));
  }
  await compiled.close();
  await engine.close();
  return { ours: median(ours), theirs: median(theirs) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, rounds: { type: 'string' } } });
  const [seconds, rounds] = [Number(values.seconds ?? 1), Number(values.rounds ?? 3)];
  if (!(seconds > 0 && rounds >= 1)) {
    process.stderr.write(usage);
    process.exit(2);
  }
  const print = (line: string): boolean => process.stdout.write(`${line}\n`);
  print('| SELECT | messages a batch | compiled µs/message | DuckDB µs/message | ratio | compiled rows/s |');
  print('| --- | --- | --- | --- | --- | --- |');
  for (const [name, select] of Object.entries(selects)) {
    const insert = await planned(select);
    for (const size of batchSizes) {
      const { ours, theirs } = await compareAt(size, insert, seconds, rounds);
      const cells = [
        name,
        size,
        ours.toFixed(2),
        theirs.toFixed(2),
        Math.round(theirs / ours),
        Math.round(1e6 / ours),
      ];
      print(`| ${cells.join(' | ')} |`);
    }
  }
}

await main();
