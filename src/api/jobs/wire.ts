import Type, { type Static } from 'typebox';
import { isResting, jobStates, shownState } from '../../jobs/states.ts';
import type { Db } from '../../store/db.ts';
import { Id, nowMicros, strict } from '../schemas.ts';

/** So many losses of a connection without a healthy time between them are a crash loop. */
const crashLoop = 5;
/** A job that has run for so long is healthy. */
const healthyMicros = 60_000_000n;

const Domain = Type.Enum(['user', 'external', 'internal'], { description: 'Whose business it is' });

export const Job = Type.Object(
  {
    id: Type.String(),
    pipeline_id: Type.String(),
    running_desired: Type.Boolean({ description: 'Whether it is meant to run' }),
    state: Type.Enum([...jobStates]),
    run_id: Type.Integer({ description: 'Counts its starts' }),
    start_time: Type.Union([Type.Integer({ description: 'Unix microseconds' }), Type.Null()]),
    finish_time: Type.Union([Type.Integer({ description: 'Unix microseconds' }), Type.Null()]),
    tasks: Type.Union([Type.Integer(), Type.Null()]),
    failure_reason: Type.Union([
      Type.Object({
        error: Type.String(),
        domain: Domain,
        code: Type.String({ description: 'As in a problem' }),
      }),
      Type.Null(),
    ]),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    scheduler_config: Type.Object({}, { description: 'Always empty' }),
    env_vars: Type.Object({}, { description: 'Always empty' }),
    state_since: Type.Integer({ description: 'Unix microseconds' }),
    recoveries: Type.Integer({
      description: 'How often it has lost a connection since it last ran for a minute on end',
    }),
    recovering_since: Type.Union([Type.Integer({ description: 'Unix microseconds' }), Type.Null()], {
      description: 'When it lost the first of them',
    }),
    crash_looping: Type.Boolean({
      description: `Whether it keeps falling over: ${crashLoop} times or more without running for a minute on end`,
    }),
  },
  {
    $id: 'Job',
    examples: [
      {
        id: 'job_Y2kD6fWq0S',
        pipeline_id: 'pl_5TgR7bN1wC',
        running_desired: true,
        state: 'Running',
        run_id: 1,
        start_time: 1_790_000_000_000_000,
        finish_time: null,
        tasks: 1,
        failure_reason: null,
        created_at: 1_790_000_000_000_000,
        scheduler_config: {},
        env_vars: {},
        state_since: 1_790_000_000_100_000,
        recoveries: 0,
        recovering_since: null,
        crash_looping: false,
      },
    ],
  },
);

export const JobLogMessage = Type.Object(
  {
    id: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    operator_id: Type.Union([Type.String(), Type.Null()]),
    task_index: Type.Union([Type.Integer(), Type.Null()]),
    level: Type.Enum(['info', 'warn', 'error']),
    message: Type.String(),
    details: Type.String({
      description: 'JSON: the hint and the fields concerned; of a change of state the states and the cause',
    }),
    error_domain: Type.Union([Domain, Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
  },
  {
    title: 'JobLogMessage',
    examples: [
      {
        id: 'jlm_mfz3k1c0a7b2',
        created_at: 1_790_000_000_000_000,
        operator_id: null,
        task_index: null,
        level: 'warn',
        message: 'The broker closed the connection',
        details: '{"hint":null,"errors":[]}',
        error_domain: null,
        code: 'connection_lost',
      },
    ],
  },
);

export const JobParams = Type.Object({ id: Id, job_id: Id }, strict);

type Row = NonNullable<Awaited<ReturnType<Db['job']['findFirst']>>>;

const orNull = (micros: bigint | null): number | null => (micros === null ? null : Number(micros));

export function toWire(row: Row): Static<typeof Job> {
  const failure_reason = row.failureCode
    ? {
        error: row.failureMessage ?? '',
        domain: (row.failureDomain ?? 'internal') as Static<typeof Domain>,
        code: row.failureCode,
      }
    : null;
  const now = nowMicros();
  const state = shownState(row, now);
  const healthy = isResting(state) || (state === 'Running' && now - row.stateSince > healthyMicros);
  const recoveries = healthy ? 0 : row.recoveries;
  return {
    id: row.id,
    pipeline_id: row.pipelineId,
    running_desired: row.stop === 'none',
    state,
    run_id: row.runId,
    start_time: orNull(row.startTime),
    finish_time: orNull(row.finishTime),
    tasks: row.tasks,
    failure_reason,
    created_at: Number(row.createdAt),
    scheduler_config: {},
    env_vars: {},
    state_since: Number(row.stateSince),
    recoveries,
    recovering_since: healthy ? null : orNull(row.recoveringSince),
    crash_looping: recoveries >= crashLoop,
  };
}

interface MessageRow {
  id: string;
  createdAt: bigint;
  operatorId: string | null;
  taskIndex: number | null;
  level: string;
  message: string;
  details: string;
  code: string | null;
}

export const messageToWire = (row: MessageRow): Static<typeof JobLogMessage> => ({
  id: row.id,
  created_at: Number(row.createdAt),
  operator_id: row.operatorId,
  task_index: row.taskIndex,
  level: row.level as 'info' | 'warn' | 'error',
  message: row.message,
  details: row.details,
  error_domain: null,
  code: row.code,
});
