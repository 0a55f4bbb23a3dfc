import Type, { type Static } from 'typebox';
import { errorCatalog } from '../../connectors/registry.ts';
import { Id, strict } from '../schemas.ts';

/** Dead letters on the wire. */

const stages = ['decode', 'transform', 'encode', 'write'] as const;
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Code = Type.Enum(Object.keys(errorCatalog), { description: 'As in a problem' });
const Stage = Type.Enum([...stages], { description: 'Where it failed' });
const Micros = (description: string) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

export const DeadLetter = Type.Object(
  {
    id: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    received_at: Type.Integer({ description: 'Unix microseconds' }),
    source_table: Type.String({ description: 'The table it was read as' }),
    operator_id: Type.String(),
    task_index: Type.Integer(),
    bytes: Type.Integer({ description: 'Of the payload' }),
    stage: Stage,
    code: Code,
    message: Type.String({ description: 'What was wrong first' }),
    errors: Type.Array(
      Type.Object({
        stage: Stage,
        code: Code,
        row: nullable(Type.Integer({ description: 'Its number in the message, from 0' })),
        path: Type.String({ description: 'A JSON pointer' }),
        message: Type.String(),
      }),
      { description: 'The first 20' },
    ),
    failed_rows: nullable(
      Type.Array(Type.Integer(), {
        description:
          'The numbers, from 0, of its rows that failed: all others have got through. Null when the message cannot be read at all',
      }),
    ),
    row_count: nullable(Type.Integer({ description: 'How many rows the message has, where that is known' })),
    state: Type.Enum(['waiting', 'replaying'], { description: 'replaying: asked for, and not over' }),
    replays: Type.Integer({ description: 'How often it was replayed, and failed' }),
    replayed_at: nullable(Type.Integer({ description: 'Unix microseconds: the last time' })),
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

const AnyObject = Type.Record(Type.String(), Type.Unknown());

export const DeadLetterContent = Type.Object(
  {
    ...DeadLetter.properties,
    payload: Type.Object({
      base64: Type.String(),
      text: nullable(Type.String({ description: 'When it is UTF-8' })),
    }),
    metadata: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Every metadata column of the connector; numbers exact',
    }),
    attempt: Type.Array(AnyObject, {
      description:
        'What the table as it is now makes of it: an object for each row and for each error, as a tail shows them',
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

export const filters = {
  code: Type.Optional(Code),
  stage: Type.Optional(Stage),
  since: Type.Optional(Micros('Unix microseconds: stored at this time or later')),
  until: Type.Optional(Micros('Unix microseconds: stored before this time')),
};
export const Filter = Type.Object(filters, strict);
type Filter = Static<typeof Filter>;

export const ReplayPost = Type.Object(
  {
    ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 1000 })),
    all: Type.Optional(Type.Literal(true)),
    ...filters,
  },
  { ...strict, examples: [{ ids: ['dl_7Hq2mZ0xKc'] }, { all: true, code: 'bad_data' }] },
);

export const LetterParams = Type.Object({ id: Id, letter: Id }, strict);

/** The letters that a filter leaves, for the database. */
export const wanted = ({ code, stage, since, until }: Filter) => ({
  ...(code === undefined ? {} : { code }),
  ...(stage === undefined ? {} : { stage }),
  createdAt: {
    ...(since === undefined ? {} : { gte: BigInt(since) }),
    ...(until === undefined ? {} : { lt: BigInt(until) }),
  },
});

/** A letter as it is stored, but for what it holds. */
export interface LetterRow {
  id: string;
  createdAt: bigint;
  receivedAt: bigint;
  sourceTable: string;
  operatorId: string;
  taskIndex: number;
  bytes: number;
  stage: string;
  code: string;
  message: string;
  errors: string;
  failedRows: string | null;
  rowCount: number | null;
  state: string;
  replays: number;
  replayedAt: bigint | null;
}

export const toWire = (row: LetterRow): Static<typeof DeadLetter> => ({
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
