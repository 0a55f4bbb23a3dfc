import type { FormatDefinition } from '../format.ts';

/** Whole files of typed columns. A connector that takes rows writes them; no message has this format. */
export const parquet: FormatDefinition<'parquet'> = {
  type: 'parquet',
  filesOnly: true,
  codec() {
    throw new Error('parquet is for whole files, which have no codec');
  },
};
