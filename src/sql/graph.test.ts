import { expect, test } from 'vitest';
import { graphOf, nodesOf } from './graph.ts';
import type { InsertPlan, Leaf, Select, StatefulSelect } from './plan.ts';
import { shapeOf } from './shape.ts';

const table = (name: string) => ({ name, connector: 'mqtt' });
const leaf: Leaf = {
  name: 'rows',
  inputs: [
    { source: 0, whole: true, select: { kind: 'passthrough' } },
    {
      source: 1,
      whole: true,
      select: { kind: 'project', columns: [{ from: 'a', to: 'b', convert: 'none' }] },
    },
  ],
  columns: [],
  times: { event: true, watermark: false },
  keys: ['device'],
};
const stateful: StatefulSelect = {
  kind: 'stateful',
  window: { kind: 'tumble', width: 1 },
  leaves: [leaf],
  clocks: [],
  sql: 'SELECT count(*) FROM rows',
  key: undefined,
  limits: { maxStateBytes: 1, whenFull: 'wait', ttl: 0 },
};

const insert = (select: Select, sink: string, ...sources: string[]): InsertPlan =>
  ({
    source: table(sources[0] as string),
    others: sources.slice(1).map((name) => ({ source: table(name), operatorId: `from_${name}` })),
    sink: table(sink),
    select,
    operatorIds: { source: sources[0], transform: `to_${sink}`, sink },
  }) as unknown as InsertPlan;

test('all sources of a stateful query lead into its transform, which is one task', () => {
  const inserts = [insert(stateful, 'joined', 'a', 'b'), insert({ kind: 'passthrough' }, 'copy', 'b')];
  const { nodes, edges } = graphOf(inserts, 4);
  const named = nodes.map(({ description, parallelism }) => [description, parallelism]);
  expect(named).toEqual([
    ['a (source)', 1],
    ['b (source)', 4],
    ['collects rows in tumbling windows of 1 microsecond; keeps rows', 1],
    ['joined (sink)', 1],
    ['copy (sink)', 4],
  ]);
  expect(edges.map(({ src_id, dest_id }) => [src_id, dest_id])).toEqual([
    [0, 2],
    [1, 2],
    [2, 3],
    [1, 4],
  ]);
  expect(nodesOf(inserts)).toEqual([
    { source: 0, others: [1], transform: 2, sink: 3 },
    { source: 1, others: [], transform: null, sink: 4 },
  ]);
});

test('a window has a node for the watermark of its source, and says what it keeps', () => {
  const events = insert(
    { ...stateful, window: { kind: 'hop', slide: 6e7, width: 9e7 }, key: ['device', 'start'] },
    'one',
    'a',
  );
  const folded: Leaf = { ...leaf, keys: [], fold: { partials: [] } };
  const more = insert(
    { ...stateful, window: { kind: 'session', gap: 3.6e9 }, leaves: [leaf, folded] },
    'two',
    'a',
  );
  const updating = insert({ ...stateful, window: undefined }, 'three', 'a');
  for (const { source } of [events, more, updating]) Object.assign(source, { watermark: '"at"' });
  const { nodes, edges } = graphOf([events, more, updating]);
  expect(nodes.map(({ operator, description }) => `${operator}: ${description}`)).toEqual([
    'mqtt: a (source)',
    'watermark: watermark of a: "at"',
    'stateful: collects rows in sliding windows of 90 seconds every 1 minute by device, start; keeps rows',
    'mqtt: one (sink)',
    'stateful: collects rows in sessions with a gap of 1 hour; keeps rows and partial aggregates in 2 tables',
    'mqtt: two (sink)',
    'stateful: keeps results over all rows up to date; keeps rows',
    'mqtt: three (sink)',
  ]);
  expect(edges.map(({ src_id, dest_id }) => `${src_id}-${dest_id}`)).toEqual([
    ...['0-1', '1-2', '2-3', '1-4', '4-5', '0-6', '6-7'],
  ]);
});

test('the shape of a state depends on the rows that it collects, and not on what becomes of them', () => {
  const shape = shapeOf(stateful);
  const compiled = {
    kind: 'compiled',
    sql: 'SELECT 1',
    rowColumn: 'r',
    plan: { columns: [], steps: [] },
  } as const;
  const inDuckDb = { kind: 'sql', sql: 'SELECT 1', rowColumn: 'r', because: 'a function' } as const;
  const over = (select: Leaf['inputs'][number]['select']) =>
    shapeOf({ ...stateful, leaves: [{ ...leaf, inputs: [{ source: 0, whole: true, select }] }] });
  expect(shapeOf({ ...stateful, sql: 'SELECT 1', key: ['a'], limits: { ...stateful.limits, ttl: 5 } })).toBe(
    shape,
  );
  expect(over(compiled)).toBe(over(inDuckDb));
  const others = [
    shapeOf({ ...stateful, window: { kind: 'tumble', width: 2 } }),
    shapeOf({ ...stateful, window: undefined }),
    shapeOf({ ...stateful, leaves: [{ ...leaf, keys: [] }] }),
    shapeOf({ ...stateful, leaves: [{ ...leaf, fold: { partials: [] } }] }),
    shapeOf({ ...stateful, leaves: [leaf, { ...leaf, name: 'more' }] }),
    over(compiled),
    over({ ...compiled, sql: 'SELECT 2' }),
  ];
  expect(new Set([shape, ...others]).size).toBe(others.length + 1);
});

test('an edge has the columns of its rows, cut if there are many', () => {
  const schema = {
    fields: [
      { name: 'device', type: 'string' },
      { name: 'at site', type: 'timestamp' },
    ],
  };
  const many = { fields: Array.from({ length: 1000 }, (_, n) => ({ name: `column_${n}`, type: 'int64' })) };
  const some = insert({ kind: 'project', columns: [] }, 'to', 'from');
  Object.assign(some.source, { schema });
  Object.assign(some.sink, { schema: many });
  const [into, out] = graphOf([some]).edges.map(({ value_type }) => value_type);
  expect(into).toBe('device TEXT, "at site" TIMESTAMP(3)');
  expect(out).toMatch(/^column_0 BIGINT, column_1 BIGINT, .*…$/);
  expect(out?.length).toBeLessThan(2100);
});
