import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { refusalOf, type SuiteFile, suiteFiles, suiteText, testingFolder } from '../support/arroyo-suite.ts';
import { fileFolder } from '../support/files.ts';
import { createPipeline } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** Arroyo's own SQL suites: what is accepted, and that its results over MQTT are the expected ones. */

const repository = process.env.ARROYO_REPOSITORY;
const missing = repository ? undefined : 'ARROYO_REPOSITORY does not name a checkout of Arroyo';
const files = repository ? suiteFiles(repository) : [];

const golden = (name: string) => join(testingFolder(repository ?? ''), 'golden_outputs', `${name}.json`);

const rowsIn = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe.skipIf(missing)(skipping("Arroyo's SQL suites", missing), () => {
  test.each(files.filter(({ mustFail }) => mustFail))('$suite/$name is refused', async (file) => {
    expect(await refusalOf(file)).toBeDefined();
  });

  test('docs/arroyo.md lists what is accepted', async () => {
    const document = readFileSync(new URL('../../docs/arroyo.md', import.meta.url), 'utf8');
    expect(document).toContain(await suiteText(files));
  });
});

const accepted = [
  ...['cast_to_sink_type', 'debezium_coercion', 'debezium_pass_through', 'json_operators'],
  ...['memory_table', 'select_star', 'test_merge_sink', 'union'],
];
/** Those that need functions of their users, or ordered aggregates of DataFusion. */
const refused = new Set(['async_udf', 'double_negative_udf', 'udaf', 'every_aggregate']);
const running = files.filter(({ suite, name }) => suite === 'testing' && accepted.includes(name));

describe.skipIf(missing)(skipping("Arroyo's expected outputs", missing), () => {
  const rig = useRig({
    broker: { config: ['max_queued_messages 0'], quiet: true },
    service: { worker: true },
  });

  /** The query with MQTT in place of files, and the names of its inputs. */
  function overMqtt({ name, query }: SuiteFile): { text: string; inputs: Set<string> } {
    const inputs = new Set<string>();
    const text = query
      .replaceAll(
        "connector = 'single_file'",
        `connector = 'mqtt', url = '${rig.broker.url}', qos = 'AtLeastOnce'`,
      )
      .replaceAll(/path = '\$input_dir\/(\w+)\.json'/g, (_, input: string) => {
        inputs.add(input);
        return `topic = '${name}/${input}'`;
      })
      .replaceAll("path = '$output_path'", `topic = '${name}/out'`)
      // Arroyo reads these microseconds as nanoseconds, and writes milliseconds: see `parsed`.
      .replaceAll('order_date TIMESTAMP', 'order_date BIGINT')
      // Penstock writes times with a Z unless it is told not to.
      .replaceAll(
        /format = 'json',(\s*)type = 'sink'/g,
        "format = 'json', json.timestamp_format = 'without_zone',$1type = 'sink'",
      );
    return { text, inputs };
  }

  test.each(running)('$name has the expected output', async (file) => {
    const { text, inputs } = overMqtt(file);
    const wanted = rowsIn(golden(file.name));
    const received = await rig.collect(`${file.name}/out`);
    const id = await createPipeline(rig.request, text, file.name.replaceAll('_', '-'));
    await rig.inState(id, 'Running', 60_000);
    for (const input of inputs) {
      const path = join(testingFolder(repository ?? ''), 'inputs', `${input}.json`);
      const lines = readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '');
      for (let from = 0; from < lines.length; from += 200)
        await Promise.all(
          lines
            .slice(from, from + 200)
            .map((line) => rig.client.publishAsync(`${file.name}/${input}`, line, { qos: 1 })),
        );
    }
    const isDebezium = text.includes('debezium_json');
    const state = (rows: unknown[]) => (isDebezium ? merged(rows) : rows).map(sorted).sort();
    const all = state(wanted);
    const made = () => state(received.map(parsed));
    // A difference is shown by the assertion, not by the time limit.
    const isDone = async () => made().length === all.length && JSON.stringify(made()) === JSON.stringify(all);
    await until('the output is as expected', isDone, 90_000).catch(() => undefined);
    expect(made()).toEqual(all);
  });
});

/** A checkout may lack large files. */
const hasInputs = ({ query }: SuiteFile): boolean =>
  [...query.matchAll(/\$input_dir\/(\w+\.json)/g)].every(([, input]) =>
    existsSync(join(testingFolder(repository ?? ''), 'inputs', input as string)),
  );

const overFiles = files.filter(
  (file) => file.suite === 'testing' && !file.mustFail && !refused.has(file.name) && hasInputs(file),
);

describe.skipIf(missing)(skipping("Arroyo's expected outputs, over files", missing), () => {
  const folder = fileFolder();
  const rig = useRig({ service: { worker: true, fileDir: folder } });

  test.each(overFiles)('$name has the expected output', async ({ name, query }) => {
    const inputs = join(testingFolder(repository ?? ''), 'inputs');
    for (const file of readdirSync(inputs)) copyFileSync(join(inputs, file), join(folder, file));
    const text = query
      .replaceAll('$input_dir/', '')
      .replaceAll('$output_path', `${name}.out`)
      .replaceAll('order_date TIMESTAMP', 'order_date BIGINT')
      // Penstock writes times with a Z unless it is told not to.
      .replaceAll(
        /format = 'json',(\s*)type = 'sink'/g,
        "format = 'json', json.timestamp_format = 'without_zone',$1type = 'sink'",
      );
    const id = await createPipeline(rig.request, text, name.replaceAll('_', '-'));
    await rig.inState(id, 'Finished', 60_000);
    const isDebezium = text.includes('debezium_json');
    const state = (rows: unknown[]) => (isDebezium ? merged(rows) : rows).map(sorted).sort();
    const made = rowsIn(join(folder, `${name}.out`)).map((row) => parsed(JSON.stringify(row)));
    expect(state(made)).toEqual(state(rowsIn(golden(name))));
  });
});

const parsed = (message: string): unknown => JSON.parse(message.replaceAll(/("order_date":\d+)\d{6}/g, '$1'));

const sorted = (row: unknown): string =>
  JSON.stringify(row, row && typeof row === 'object' ? Object.keys(row).sort() : undefined);

/** Rows that remain after all changes. */
function merged(changes: unknown[]): unknown[] {
  const rows = new Map<string, unknown>();
  for (const { before, after } of changes as { before: unknown; after: unknown }[]) {
    if (before) rows.delete(sorted(before));
    if (after) rows.set(sorted(after), after);
  }
  return [...rows.values()];
}
