/**
 * The last hour of each task, in steps of ten seconds. Its worker keeps the steps of a minute in memory and then writes them
 * once (`TaskSeries`); what is not written yet is part of its statistics (`TaskStats`). The API puts both together.
 */

import { counted, sampleEveryMs, type TaskCounts } from './stats.ts';

/** Length of a step in microseconds. Steps have numbers: how many of them fit between 1970 and their start. */
export const stepMicros = 10_000_000;
export const minuteMicros = 60_000_000;
export const stepsPerMinute = minuteMicros / stepMicros;
export const shownMicros = 3_600_000_000;

/** Counted in a step. */
export const stepSums = [...counted, 'reconnects'] as const;
/** As of the end of a step, or its maximum. */
const stepGauges = ['in_flight', 'latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms'] as const;
/** Of a task with a state, as of the end of a step. */
export const stepStateGauges = ['watermark_lag_ms', 'open_windows', 'state_bytes'] as const;

/** The values of a step, in the order in which they are stored. */
export const stepValues = [...stepSums, ...stepGauges, ...stepStateGauges] as const;
export type StepValue = (typeof stepValues)[number];

/** The number of a step and its values. Those of a state are missing if the task has none. */
export type Step = [number: number, ...values: (number | null)[]];

/** The column `steps` of `TaskSeries`, as JSON. Steps in which nothing happened are left out. */
export interface StoredSteps {
  steps: Step[];
  /** When the task ended on this worker (Unix microseconds). */
  end?: number;
}

/** Steps in the statistics of a task that may not be written yet. */
export interface UnwrittenSteps {
  /** When the worker began the task (Unix microseconds). */
  since: number;
  /** Name of the worker. */
  worker: string;
  steps: Step[];
}

/** The step that has most of the second that ends at a time. */
export const stepAt = (micros: number): number => Math.floor((micros - sampleEveryMs * 500) / stepMicros);

export const minuteOf = (step: number): number => Math.floor(step / stepsPerMinute) * minuteMicros;

/** The statistics of a task as they are stored. */
export type StoredCounts = TaskCounts & { series?: UnwrittenSteps };
