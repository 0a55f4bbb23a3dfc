import Type, { type Static } from 'typebox';
import { jobStates } from '../../jobs/states.ts';
import { Labels } from '../labels.ts';
import { Micros, nullable, StopMode } from '../schemas.ts';

const example = {
  id: 'pl_5TgR7bN1wC',
  job_id: 'job_Y2kD6fWq0S',
  name: 'overheating',
  labels: { site: 'north' },
  state: 'Running',
  state_since: 1_790_000_000_100_000,
  stop: 'none',
  action: 'checkpoint',
  action_in_progress: false,
  failure: null,
  tasks: 1,
  workers: ['north-1'],
  messages_in_per_second: 1200.4,
  messages_out_per_second: 80.2,
  bytes_in_per_second: 43_214,
  rates: [...Array.from({ length: 27 }, () => 0), 640, 1198, 1201],
  in_flight: 3,
  in_flight_max: 1000,
  lag_ms: 2,
  watermark_lag_ms: null,
  latency_p99_ms: 5,
  reconnects: 0,
  bad: 0,
  dead_letters: 0,
  last_error: null,
};

export const OverviewEntry = Type.Object(
  {
    id: Type.String({ description: 'Id of the pipeline' }),
    job_id: Type.String(),
    name: Type.String(),
    labels: Labels,
    state: Type.Enum([...jobStates], { description: 'State of the job' }),
    state_since: Micros,
    stop: StopMode,
    action: nullable(StopMode, { description: 'Value of stop that performs the offered action' }),
    action_in_progress: Type.Boolean(),
    failure: nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    tasks: Type.Integer({ description: 'Number of tasks; 0 if the job does not run' }),
    workers: Type.Array(Type.String(), { description: 'Names of the workers that run its tasks' }),
    messages_in_per_second: Type.Number({ description: 'Average of the newest 5 seconds' }),
    messages_out_per_second: Type.Number({ description: 'Average of the newest 5 seconds' }),
    bytes_in_per_second: Type.Integer({ description: 'Average of the newest 5 seconds' }),
    rates: Type.Array(Type.Number(), {
      description: 'Messages in per second, for each 4 seconds of the last 2 minutes, the oldest first',
    }),
    in_flight: Type.Integer({ description: 'Messages received but not yet acknowledged' }),
    in_flight_max: Type.Integer({ description: 'Maximum of in_flight' }),
    lag_ms: nullable(Type.Integer(), {
      description:
        'Age of the oldest message that is not acknowledged, or time since a task lost its connection; null without either',
    }),
    watermark_lag_ms: nullable(Type.Number(), {
      description: 'Time from the oldest watermark to the clock; null without windows',
    }),
    latency_p99_ms: nullable(Type.Number(), {
      description: 'Of the slowest task, over the last one to two minutes; null if nothing was sent',
    }),
    reconnects: Type.Integer({ description: 'Number of reconnects after errors since the job started' }),
    bad: Type.Integer({ description: 'Messages and rows that could not be processed since the job started' }),
    dead_letters: Type.Integer({ description: 'Number of dead letters' }),
    last_error: nullable(Type.Object({ code: Type.String(), message: Type.String(), at: Micros })),
  },
  { $id: 'OverviewEntry', examples: [example] },
);
export type OverviewEntry = Static<typeof OverviewEntry>;

const entries = Type.Array(Type.Unsafe<object>({ $ref: 'OverviewEntry#' }));

export const Overview = Type.Object(
  { at: Micros, pipelines: entries },
  { $id: 'Overview', examples: [{ at: 1_790_000_000_000_000, pipelines: [example] }] },
);

export const OverviewEvent = Type.Object(
  {
    name: Type.Enum(['all', 'changes'], {
      description:
        'all: a part of the whole overview; a stream begins with at least one. changes: the pipelines that were created or ' +
        'have changed since the last event',
    }),
    at: Micros,
    more: Type.Boolean({ description: 'Whether another part of the whole follows. False for changes' }),
    pipelines: entries,
    deleted: Type.Array(Type.String(), {
      description:
        'Ids of pipelines that are gone, or no longer match the filter. Empty for a part of the whole',
    }),
  },
  {
    $id: 'OverviewEvent',
    examples: [{ name: 'all', at: 1_790_000_000_000_000, more: false, pipelines: [example], deleted: [] }],
  },
);

export const overviewResponse = Type.Unsafe<never>({
  description: 'The pipelines, the newest first, or a stream of their changes',
  content: {
    'application/json': { schema: { $ref: 'Overview#' } },
    'text/event-stream': { schema: { $ref: 'OverviewEvent#' } },
  },
});
