import type { FieldError } from '../../errors.ts';
import type { FormatDefinition } from '../format.ts';
import { onlyRow } from '../framing.ts';
import { sqlType } from '../schema/sql-type.ts';
import { metricWriter } from './encode.ts';
import { columns } from './payload.ts';
import { metricsReader } from './read.ts';

/**
 * Eclipse Sparkplug B: a payload has one row for each of its metrics, with columns from a fixed list. Aliases are not
 * resolved: what they stand for is in the BIRTH of the same connection, and a codec keeps no state.
 */
export const sparkplugB: FormatDefinition<'sparkplug_b'> = {
  type: 'sparkplug_b',
  validate({ fields = [] }): FieldError[] {
    const names = [...columns.keys()].join(', ');
    return fields.flatMap((field, index) => {
      if (typeof field.metadata_key === 'string') return [];
      const column = columns.get(field.name);
      if (!column) {
        const message = `Sparkplug B has no ${field.name}: a metric has ${names}`;
        return [{ path: `/fields/${index}/name`, message }];
      }
      if (sqlType(column) === sqlType(field)) return [];
      const message = `${field.name} is ${sqlType(column)} in Sparkplug B`;
      return [{ path: `/fields/${index}/type`, message }];
    });
  },
  codec({ fields = [] }) {
    const decodeAll = metricsReader(fields);
    return {
      decodeAll: (payload) => decodeAll(payload),
      decode: (payload) => onlyRow(decodeAll(payload)),
      encode: metricWriter(fields),
    };
  },
};
