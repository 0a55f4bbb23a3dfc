import * as all from './all.ts';
import type { FormatDefinition } from './format.ts';
import type { Format } from './schema/schema.ts';

/** Each is only ever called with schemas in its own format. */
const formats = Object.values(all) as unknown as readonly FormatDefinition[];

/** The types of the formats that can be read and written. */
export const formatTypes = formats.map(({ type }) => type);

/** The definition of a format; undefined for one that Penstock does not read or write. */
export const formatOf = (format: Format): FormatDefinition | undefined =>
  formats.find(({ type }) => type === format.type);
