import Type, { type Static } from 'typebox';
import { isResting, jobStates, shownState } from '../../jobs/states.ts';
import type { Db } from '../../store/db.ts';
import { Id, Micros, nowMicros, nullable, strict } from '../schemas.ts';

/** Number of lost connections, without a healthy time in between, that make a crash loop. */
const crashLoop = 5;
/** Running time after which a job counts as healthy. */
const healthyMicros = 60_000_000n;

const Domain = Type.Enum(['user', 'external', 'internal'], { description: 'The party that has to act' });

export const Job = Type.Object(
  {
    id: Type.String(),
    pipeline_id: Type.String(),
    running_desired: Type.Boolean({ description: 'Whether it should run' }),
    state: Type.Enum([...jobStates]),
    run_id: Type.Integer({ description: 'Number of starts' }),
    start_time: nullable(Micros),
    finish_time: nullable(Micros),
    tasks: nullable(Type.Integer()),
    failure_reason: nullable(
      Type.Object({ error: Type.String(), domain: Domain, code: Type.String({ description: 'Error code' }) }),
    ),
    created_at: Micros,
    scheduler_config: Type.Object({}, { description: 'Always empty' }),
    env_vars: Type.Object({}, { description: 'Always empty' }),
    state_since: Micros,
    recoveries: Type.Integer({
      description: 'Number of lost connections since it last ran for a full minute',
    }),
    recovering_since: nullable(Micros, { description: 'Time of the first of these losses' }),
    crash_looping: Type.Boolean({
      description: `Whether it lost its connection ${crashLoop} times or more without running for a full minute`,
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
    created_at: Micros,
    operator_id: nullable(Type.String()),
    task_index: nullable(Type.Integer()),
    level: Type.Enum(['info', 'warn', 'error']),
    message: Type.String(),
    details: Type.String({
      description: 'JSON: the hint and the fields concerned; for a state change the states and the cause',
    }),
    error_domain: nullable(Domain),
    code: nullable(Type.String()),
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

export type JobRow = NonNullable<Awaited<ReturnType<Db['job']['findFirst']>>>;

const numberOf = (micros: bigint | null): number | null => (micros === null ? null : Number(micros));

export function toWire(row: JobRow): Static<typeof Job> {
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
    start_time: numberOf(row.startTime),
    finish_time: numberOf(row.finishTime),
    tasks: row.tasks,
    failure_reason,
    created_at: Number(row.createdAt),
    scheduler_config: {},
    env_vars: {},
    state_since: Number(row.stateSince),
    recoveries,
    recovering_since: healthy ? null : numberOf(row.recoveringSince),
    crash_looping: recoveries >= crashLoop,
  };
}

type MessageRow = Omit<NonNullable<Awaited<ReturnType<Db['jobMessage']['findFirst']>>>, 'jobId'>;

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
