import Type, { type Static } from 'typebox';

export const SingleFileTable = Type.Object(
  {
    path: Type.String({
      title: 'Path',
      description: 'File to read or write, below PENSTOCK_FILE_DIR',
      minLength: 1,
      maxLength: 1024,
    }),
    table_type: Type.Enum(['source', 'sink'], {
      title: 'Table Type',
      description: 'Whether it is a source or a sink',
      option: 'type',
    }),
    wait_for_control: Type.Optional(
      Type.Boolean({ title: 'Wait for Control', description: 'Known from Arroyo, without effect' }),
    ),
  },
  { title: 'SingleFileTable', additionalProperties: false },
);
export type SingleFileTable = Static<typeof SingleFileTable>;
