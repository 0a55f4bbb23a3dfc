import Type from 'typebox';
import { nullable } from '../schemas.ts';

/** One event of the output of a preview: Arroyo's, with the errors in messages. */
export const OutputData = Type.Object(
  {
    operator_id: Type.String(),
    subtask_idx: Type.Integer(),
    timestamps: Type.Array(Type.Integer(), {
      description:
        'Unix microseconds for each row: arrival of its message, end of its window, or when a result changed',
    }),
    start_id: Type.Integer({ description: 'Index of the first row' }),
    batch: Type.String({ description: 'The rows as JSON' }),
    bad: Type.Optional(
      Type.Array(
        Type.Object({
          code: Type.String(),
          message: Type.String(),
          errors: Type.Array(Type.Object({ path: Type.String(), message: Type.String() })),
        }),
        { description: 'Messages and rows that could not be processed' },
      ),
    ),
    left_out: Type.Optional(
      Type.Integer({ description: 'Number of messages and rows not shown because there were too many' }),
    ),
    partial: Type.Optional(
      Type.Boolean({
        description:
          'Whether rows may be missing in the windows of these results: they began before the preview, or were closed early',
      }),
    ),
    state: Type.Optional(
      Type.Object(
        {
          watermark: nullable(
            Type.Integer({
              description: 'Unix microseconds up to which windows are closed; null if not known yet',
            }),
          ),
          open_windows: Type.Integer(),
          late_rows: Type.Integer({ description: 'Number of rows that came after their windows had closed' }),
          state_bytes: Type.Integer({ description: 'Estimated size of the rows that are kept' }),
        },
        { description: 'Of a query with windows or aggregates, when it changes; at most once a second' },
      ),
    ),
    done: Type.Optional(Type.Boolean({ description: 'Whether this is the last event' })),
    error: Type.Optional(
      nullable(Type.Object({ code: Type.String(), message: Type.String() }), {
        description: 'In the last event: the reason of an early end',
      }),
    ),
  },
  {
    $id: 'OutputData',
    examples: [
      {
        operator_id: 'transform_preview_0_3b1f2c',
        subtask_idx: 0,
        timestamps: [1_790_000_000_000_000],
        start_id: 0,
        batch: '[{"device":"oven-1","celsius":218.5}]',
      },
    ],
  },
);

export const outputResponse = Type.Unsafe<never>({
  description: 'Server-sent events, each an OutputData, until the preview ends',
  content: { 'text/event-stream': { schema: { $ref: 'OutputData#' } } },
});
