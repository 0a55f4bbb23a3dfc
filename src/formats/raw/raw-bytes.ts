import type { FormatDefinition, Row } from '../format.ts';
import { badRow } from '../values/bad.ts';
import { metadataColumns } from '../values/own-property.ts';

/** The whole message as it is, in the column `value`. */
export const rawBytes: FormatDefinition<'raw_bytes'> = {
  type: 'raw_bytes',
  newlines: 'values',
  wholeMessage: () => 'bytes',
  codec({ fields = [] }) {
    const metadata = metadataColumns(fields);
    return {
      decode(payload) {
        const row: Row = { value: payload };
        for (const set of metadata) set(row, null);
        return row;
      },
      encode({ value }) {
        if (!Buffer.isBuffer(value)) throw badRow('/value', 'is not bytes');
        return value;
      },
    };
  },
};
