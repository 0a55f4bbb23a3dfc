import { expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import { connectorFor } from '../connectors/registry.ts';
import { compileQuery } from '../sql/compile.ts';
import { openTransform } from '../sql/open-transform.ts';
import { numberOf } from '../sql/parse-tree.ts';
import { ofSources, readSpec, sourceIdentity, type TaskSpec, writeSpec } from './task-spec.ts';

const targets = { allowed: <A>(_host: string, addresses: readonly A[]): A[] => [...addresses] };

test('a task spec survives the way to its thread, to the last digit of its constants', async () => {
  // 2^53 + 1, which is not a double.
  const query = `CREATE TABLE o WITH (connector = 'mqtt', type = 'sink', topic = 'o', format = 'json');
    INSERT INTO o SELECT v FROM i WHERE v < 9007199254740993`;
  const catalog = exampleCatalog(storedTable('i', 'source', [{ name: 'v', type: 'int64', required: true }]));
  const [insert] = (await compileQuery(query, catalog)).inserts;
  if (insert?.select.kind !== 'compiled') throw new Error('the query is not compiled');
  const end = (operatorId: string) => ({
    connector: connectorFor('mqtt'),
    profile: { url: 'mqtt://broker' },
    config: { topic: operatorId },
    operatorId,
    targets,
  });
  const spec: TaskSpec = {
    ...{ jobId: 'job_x', taskIndex: 1, insert },
    ...{ source: end('in'), others: [end('other')], sink: end('out') },
  };

  const text = writeSpec(spec);
  const read = readSpec(text, targets);
  expect({ ...read, insert: undefined }).toEqual({ ...spec, insert: undefined });
  expect(writeSpec(read)).toBe(text);
  const transform = await openTransform(read.insert);
  const values = [9007199254740992n, 9007199254740993n];
  const { rows } = await transform.run(values.map((v) => ({ v })));
  await transform.close();
  expect(rows).toEqual([{ v: 9007199254740992n }]);
});

test('a zero keeps its sign in a plan that was written and read', () => {
  expect(Object.is(Number(numberOf(JSON.parse('-0.0'))), -0)).toBe(true);
});

test('a task is seen by each of its sources as if that were its only one', () => {
  const table = (name: string) => ({ name, profile: { url: name } });
  const insert = {
    source: table('a'),
    others: [{ source: table('b'), operatorId: 'from_b' }],
    operatorIds: { source: 'from_a', transform: 'join', sink: 'to_c' },
  };
  const ends = { source: { operatorId: 'from_a' }, others: [{ operatorId: 'from_b' }], sink: {} };
  const spec = { jobId: 'job_x', taskIndex: 0, insert, ...ends } as unknown as TaskSpec;
  const seen = ofSources(spec);
  expect(seen.map(sourceIdentity).map(({ operatorId }) => operatorId)).toEqual(['from_a', 'from_b']);
  expect(seen.map(({ insert: { source, operatorIds } }) => [source.name, operatorIds])).toEqual([
    ['a', insert.operatorIds],
    ['b', { ...insert.operatorIds, source: 'from_b' }],
  ]);
  expect(seen.map((one) => [one.others, one.insert.others])).toEqual([
    [[], undefined],
    [[], undefined],
  ]);
});
