import { isUtf8 } from 'node:buffer';
import { PenstockError } from '../errors.ts';
import type { FormatDefinition, Row } from './format.ts';
import { metadataColumns } from './own-property.ts';

/** The whole message is one string, in the column `value`. */
export const rawString: FormatDefinition = {
  type: 'raw_string',
  codec(schema) {
    const metadata = metadataColumns(schema);
    return {
      decode(payload) {
        if (!isUtf8(payload)) {
          throw new PenstockError('bad_data', 'The payload is not UTF-8 text', {
            errors: [{ path: '/value', message: 'is not UTF-8 text' }],
          });
        }
        const row: Row = { value: payload.toString() };
        for (const set of metadata) set(row, null);
        return row;
      },
      encode(row) {
        if (typeof row.value === 'string') return Buffer.from(row.value);
        const message = 'The column value must hold a text to be written as raw_string';
        throw new PenstockError('bad_row', message, {
          errors: [{ path: '/value', message: 'is not a text' }],
        });
      },
    };
  },
};
