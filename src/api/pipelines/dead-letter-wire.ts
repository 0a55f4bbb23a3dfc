import Type, { type Static } from 'typebox';
import { errorCatalog } from '../../connectors/catalog.ts';
import type { Db } from '../../store/db.ts';
import { Id, Micros, nullable, strict } from '../schemas.ts';

const stages = ['decode', 'transform', 'encode', 'write'] as const;
const Code = Type.Enum(Object.keys(errorCatalog), { description: 'Error code' });
const Stage = Type.Enum([...stages], { description: 'Stage that failed' });
const TimeFilter = (description: string) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

export const DeadLetter = Type.Object(
  {
    id: Type.String(),
    created_at: Micros,
    received_at: Micros,
    source_table: Type.String({ description: 'Source table that read it' }),
    operator_id: Type.String(),
    task_index: Type.Integer(),
    bytes: Type.Integer({ description: 'Size of the payload' }),
    stage: Stage,
    code: Code,
    message: Type.String({ description: 'The first error' }),
    errors: Type.Array(
      Type.Object({
        stage: Stage,
        code: Code,
        row: nullable(Type.Integer({ description: 'Index of the row in the message, from 0' })),
        path: Type.String({ description: 'JSON pointer' }),
        message: Type.String(),
      }),
      { description: 'The first 20 errors' },
    ),
    failed_rows: nullable(
      Type.Array(Type.Integer(), {
        description:
          'Indexes, from 0, of the rows that failed; all others were delivered. Null if the message cannot be decoded',
      }),
    ),
    row_count: nullable(Type.Integer({ description: 'Number of rows in the message, if known' })),
    state: Type.Enum(['waiting', 'replaying'], {
      description: 'replaying: a replay is requested or in progress',
    }),
    replays: Type.Integer({ description: 'Number of failed replays' }),
    replayed_at: nullable(Type.Integer({ description: 'Unix microseconds: the last replay' })),
  },
  {
    title: 'DeadLetter',
    examples: [
      {
        id: 'dl_7Hq2mZ0xKc',
        created_at: 1_790_000_000_100_000,
        received_at: 1_790_000_000_000_000,
        source_table: 'readings',
        operator_id: 'source_readings',
        task_index: 0,
        bytes: 31,
        stage: 'decode',
        code: 'bad_data',
        message: 'The field /celsius must be a number',
        errors: [
          { stage: 'decode', code: 'bad_data', row: 0, path: '/celsius', message: 'must be a number' },
        ],
        failed_rows: null,
        row_count: null,
        state: 'waiting',
        replays: 0,
        replayed_at: null,
      },
    ],
  },
);

export const DeadLetterGroup = Type.Object(
  {
    code: Code,
    stage: Stage,
    count: Type.Integer(),
    bytes: Type.Integer({ description: 'Total size of the payloads' }),
    first_at: Micros,
    last_at: Micros,
  },
  {
    title: 'DeadLetterGroup',
    examples: [
      {
        code: 'bad_data',
        stage: 'decode',
        count: 12,
        bytes: 372,
        first_at: 1_790_000_000_100_000,
        last_at: 1_790_000_060_100_000,
      },
    ],
  },
);

/** Groups the dead letters of a job that a filter selects; the group with the newest one comes first. */
export async function deadLetterGroups(
  db: Db,
  jobId: string,
  filter: Filter,
): Promise<Static<typeof DeadLetterGroup>[]> {
  const groups = await db.deadLetter.groupBy({
    by: ['code', 'stage'],
    where: { jobId, ...wanted(filter) },
    _count: true,
    _sum: { bytes: true },
    _min: { createdAt: true },
    _max: { createdAt: true },
  });
  return groups
    .map(({ code, stage, _count, _sum, _min, _max }) => ({
      code,
      stage: stage as (typeof stages)[number],
      count: _count,
      bytes: Number(_sum.bytes),
      first_at: Number(_min.createdAt),
      last_at: Number(_max.createdAt),
    }))
    .sort((one, other) => other.last_at - one.last_at);
}

const AnyObject = Type.Record(Type.String(), Type.Unknown());

export const DeadLetterContent = Type.Object(
  {
    ...DeadLetter.properties,
    payload: Type.Object({
      base64: Type.String(),
      text: nullable(Type.String({ description: 'If it is UTF-8' })),
    }),
    metadata: Type.Record(Type.String(), Type.Unknown(), {
      description: 'All metadata columns of the connector; numbers are exact',
    }),
    attempt: Type.Array(AnyObject, {
      description: 'Result with the current table: an object for each row and each error, as in a tail',
    }),
  },
  {
    title: 'DeadLetterContent',
    examples: [
      {
        ...(DeadLetter as unknown as { examples: object[] }).examples[0],
        payload: { base64: 'eyJkZXZpY2UiOiJhIiwiY2Vsc2l1cyI6IngifQ==', text: '{"device":"a","celsius":"x"}' },
        metadata: { topic: 'plant/a/readings', qos: 1 },
        attempt: [
          { error: true, done: false, name: 'bad_message', message: 'The field /celsius must be a number' },
        ],
      },
    ],
  },
);

export const deadLetterFilters = {
  code: Type.Optional(Code),
  stage: Type.Optional(Stage),
  since: Type.Optional(TimeFilter('Unix microseconds: stored at this time or later')),
  until: Type.Optional(TimeFilter('Unix microseconds: stored before this time')),
};
export const Filter = Type.Object(deadLetterFilters, strict);
type Filter = Static<typeof Filter>;

export const ReplayPost = Type.Object(
  {
    ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 1000 })),
    all: Type.Optional(Type.Literal(true)),
    ...deadLetterFilters,
  },
  { ...strict, examples: [{ ids: ['dl_7Hq2mZ0xKc'] }, { all: true, code: 'bad_data' }] },
);

export const DeadLetterParams = Type.Object({ id: Id, letter: Id }, strict);

export const wanted = ({ code, stage, since, until }: Filter) => ({
  ...(code === undefined ? {} : { code }),
  ...(stage === undefined ? {} : { stage }),
  createdAt: {
    ...(since === undefined ? {} : { gte: BigInt(since) }),
    ...(until === undefined ? {} : { lt: BigInt(until) }),
  },
});

export type DeadLetterRow = Omit<
  NonNullable<Awaited<ReturnType<Db['deadLetter']['findFirst']>>>,
  'jobId' | 'payload' | 'metadata'
>;

export const toWire = (row: DeadLetterRow): Static<typeof DeadLetter> => ({
  id: row.id,
  created_at: Number(row.createdAt),
  received_at: Number(row.receivedAt),
  source_table: row.sourceTable,
  operator_id: row.operatorId,
  task_index: row.taskIndex,
  bytes: row.bytes,
  stage: row.stage as (typeof stages)[number],
  code: row.code,
  message: row.message,
  errors: JSON.parse(row.errors),
  failed_rows: row.failedRows === null ? null : JSON.parse(row.failedRows),
  row_count: row.rowCount,
  state: row.state as 'waiting' | 'replaying',
  replays: row.replays,
  replayed_at: row.replayedAt === null ? null : Number(row.replayedAt),
});
