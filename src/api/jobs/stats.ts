import Type, { type Static } from 'typebox';
import { taskStates } from '../../jobs/states.ts';
import { type CountName, counted, type OperatorPlace, sampleEveryMs } from '../../jobs/stats.ts';
import { Micros, nullable } from '../schemas.ts';
import type { AlignedTasks, ShownTask } from './tasks.ts';

/** Of a transform with a state, in the order of `sampledGauges`. */
const stateMetrics = ['watermark_lag', 'open_windows', 'state_bytes'] as const;
/** Arroyo's, and ours. */
const metricNames = [
  'messages_recv',
  'messages_sent',
  'bytes_recv',
  'bytes_sent',
  'backpressure',
  ...stateMetrics,
] as const;
type MetricName = (typeof metricNames)[number];

export const OperatorMetricGroup = Type.Object(
  {
    node_id: Type.Integer({ description: 'Node in the graph of the pipeline' }),
    metric_groups: Type.Array(
      Type.Object({
        name: Type.Enum([...metricNames], {
          description:
            'Messages (or rows, between source and sink) and payload bytes per second. backpressure: messages in flight as ' +
            'a share of the maximum, from 0 to 1. For a transform with a state: watermark_lag in milliseconds, the number of ' +
            'open_windows, and its size in state_bytes',
        }),
        subtasks: Type.Array(
          Type.Object({
            index: Type.Integer({ description: 'Index of the task' }),
            metrics: Type.Array(
              Type.Object({
                time: Type.Integer({ description: 'Unix microseconds: end of the second' }),
                value: Type.Number(),
              }),
            ),
          }),
        ),
      }),
    ),
  },
  {
    title: 'OperatorMetricGroup',
    examples: [
      {
        node_id: 0,
        metric_groups: [
          {
            name: 'messages_recv',
            subtasks: [{ index: 0, metrics: [{ time: 1_790_000_000_000_000, value: 1200 }] }],
          },
        ],
      },
    ],
  },
);

const Count = Type.Integer();
const Operator = Type.Object({
  operator_id: Type.String(),
  node_id: Type.Integer({ description: 'Node in the graph of the pipeline' }),
  kind: Type.Enum(['source', 'transform', 'sink']),
  messages_in: Count,
  messages_out: Count,
  bytes_in: nullable(Count, { description: 'Null if rows have no size here' }),
  bytes_out: nullable(Count),
});

const Windows = Type.Object({
  watermark: nullable(Micros, { description: 'All rows up to this time are taken to have arrived' }),
  watermark_lag_ms: nullable(Type.Number(), { description: 'Time from the watermark to the clock' }),
  open: Type.Integer({ description: 'Windows that collect rows' }),
  closed: Type.Integer({ description: 'Windows closed since the state began' }),
  late_rows: Type.Integer({
    description: 'Rows that came after their windows had closed, since the state began',
  }),
  state_bytes: Type.Integer({ description: 'Size of the stored state' }),
  checkpoint_ms: Type.Number({ description: 'Duration of the last commit of the state' }),
});

export const TaskStatus = Type.Object(
  {
    index: Type.Integer(),
    connected: Type.Boolean({ description: 'Whether source and sink are connected' }),
    operators: Type.Array(Operator, {
      description: 'Input and output since the job started. Between source and sink, messages are rows',
    }),
    bad: Type.Integer({ description: 'Messages and rows that could not be processed' }),
    in_flight: Type.Integer({ description: 'Messages received but not yet acknowledged' }),
    batches: Count,
    batch_size: nullable(Type.Number(), { description: 'Average number of messages per batch' }),
    latency_ms: nullable(Type.Object({ p50: Type.Number(), p95: Type.Number(), p99: Type.Number() }), {
      description:
        'Time from the arrival of a batch to the confirmation by the sink, over the last one to two minutes; up to 10 % ' +
        'too high. Null if nothing was sent',
    }),
    reconnects: Type.Integer({ description: 'Number of reconnects after errors' }),
    last_error: nullable(Type.Object({ code: Type.String(), message: Type.String(), at: Type.Integer() })),
    sampled_at: Micros,
    state: Type.Enum([...taskStates], {
      description: 'waiting: no worker has it yet. recovering: it connects again after an error',
    }),
    worker: nullable(Type.String(), { description: 'Name of the worker that runs it' }),
    windows: nullable(Windows, { description: 'Of a task with windows or aggregates; null for others' }),
  },
  {
    $id: 'TaskStatus',
    examples: [
      {
        index: 0,
        connected: true,
        operators: [
          {
            operator_id: 'source_readings_1c5a3e',
            node_id: 0,
            kind: 'source',
            messages_in: 1200,
            messages_out: 1200,
            bytes_in: 43_200,
            bytes_out: null,
          },
        ],
        bad: 0,
        in_flight: 3,
        batches: 400,
        batch_size: 3,
        latency_ms: { p50: 1.2, p95: 3.1, p99: 5 },
        reconnects: 0,
        last_error: null,
        sampled_at: 1_790_000_000_000_000,
        state: 'running',
        worker: 'north-1',
        windows: null,
      },
    ],
  },
);

export const taskStatuses = (tasks: readonly ShownTask[]): Static<typeof TaskStatus>[] =>
  tasks.map((task) => ({
    index: task.index,
    connected: task.connected,
    operators: operatorsOf(task),
    bad: task.totals.bad,
    in_flight: task.in_flight,
    batches: task.batches,
    batch_size: task.batches > 0 ? Math.round((task.totals.messages_in / task.batches) * 10) / 10 : null,
    latency_ms: task.latency,
    reconnects: task.reconnects,
    last_error: task.last_error,
    sampled_at: task.at,
    state: task.state,
    worker: task.worker,
    windows: windowsOf(task),
  }));

function windowsOf({ windows }: ShownTask): Static<typeof Windows> | null {
  if (!windows) return null;
  const { watermark, watermarkLagMs, openWindows, closedWindows, lateRows, stateBytes, checkpointMs } =
    windows;
  return {
    ...{ watermark, watermark_lag_ms: watermarkLagMs, open: openWindows, closed: closedWindows },
    ...{ late_rows: lateRows, state_bytes: stateBytes, checkpoint_ms: checkpointMs },
  };
}

function operatorsOf({ source, transform, sink, totals }: ShownTask): Static<typeof Operator>[] {
  const operator = ({ id, node }: OperatorPlace, kind: 'source' | 'transform' | 'sink', io: object) =>
    ({ operator_id: id, node_id: node, kind, bytes_in: null, bytes_out: null, ...io }) as Static<
      typeof Operator
    >;
  const { messages_in, bytes_in, rows_in, rows_out, messages_out, bytes_out } = totals;
  return [
    operator(source, 'source', { messages_in, messages_out: rows_in, bytes_in }),
    ...(transform
      ? [operator(transform, 'transform', { messages_in: rows_in, messages_out: rows_out })]
      : []),
    operator(sink, 'sink', { messages_in: rows_out, messages_out, bytes_out }),
  ];
}

type Metric = Static<
  typeof OperatorMetricGroup
>['metric_groups'][number]['subtasks'][number]['metrics'][number];

/** Adds up tasks with the same node and index, such as those of several inserts from one source. */
export function operatorMetricGroups({ at, tasks }: AlignedTasks): Static<typeof OperatorMetricGroup>[] {
  const nodes = new Map<number, Map<MetricName, Map<number, number[]>>>();
  const add = (node: number, name: MetricName, index: number, values: number[]): void => {
    const names = entry(nodes, node, () => new Map<MetricName, Map<number, number[]>>());
    const subtasks = entry(names, name, () => new Map<number, number[]>());
    const known = subtasks.get(index);
    const both = (value: number, other = 0) =>
      name === 'backpressure' ? Math.max(value, other) : value + other;
    // Aligned at the end: all series end with the same second.
    const sums = values.map((value, nth) => both(value, known?.[known.length - values.length + nth]));
    subtasks.set(index, sums);
  };
  for (const task of tasks) {
    const { index, source, transform, sink } = task;
    const series = (name: CountName): number[] =>
      task.samples.map((sample) => sample[counted.indexOf(name)] ?? 0);
    add(source.node, 'messages_recv', index, series('messages_in'));
    add(source.node, 'bytes_recv', index, series('bytes_in'));
    add(source.node, 'messages_sent', index, series('rows_in'));
    const filled = task.in_flight_samples.map((count) => count / task.window);
    add(source.node, 'backpressure', index, filled);
    if (transform) {
      add(transform.node, 'messages_recv', index, series('rows_in'));
      add(transform.node, 'messages_sent', index, series('rows_out'));
      for (const [nth, name] of stateMetrics.entries())
        if (task.window_samples) {
          const values = task.window_samples.map((sample) => sample[nth] ?? 0);
          add(transform.node, name, index, values);
        }
    }
    add(sink.node, 'messages_recv', index, series('rows_out'));
    add(sink.node, 'messages_sent', index, series('messages_out'));
    add(sink.node, 'bytes_sent', index, series('bytes_out'));
  }
  return [...nodes].map(([node_id, names]) => ({
    node_id,
    metric_groups: [...names].map(([name, subtasks]) => ({
      name,
      subtasks: [...subtasks].map(([index, values]) => ({ index, metrics: timed(at, values) })),
    })),
  }));
}

const timed = (at: number, values: readonly number[]): Metric[] =>
  values.map((value, index) => ({
    time: at - (values.length - 1 - index) * sampleEveryMs * 1000,
    value,
  }));

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
