import { asPenstockError } from '../../errors.ts';
import { codecFor, expandSchema, readRows } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { CheckSteps } from '../network/check-steps.ts';
import { firstRecords, type SourceOptions } from './record-source.ts';

/** Number of records that a test reads. */
const samples = 20;

/** Runs the step `decode` of a test: reads the first records of the files, and decodes them if the schema is known. */
export async function decodeStep(
  steps: CheckSteps,
  schema: ConnectionSchema | undefined,
  open: (schema: ConnectionSchema, signal: AbortSignal) => Promise<SourceOptions>,
): Promise<void> {
  await steps.run('decode', async (signal) => {
    const known = schema && expandSchema(schema);
    const options = await open(known ?? {}, signal);
    try {
      const records = await firstRecords(samples, options, signal);
      const [first] = records;
      if (first === undefined)
        return {
          value: 0,
          message: 'No file with a record matches',
          code: 'file_not_found',
          hint: 'Check the path and the pattern of the table.',
        };
      if (!known)
        return { value: records.length, message: `Read ${records.length} records from ${first.file}` };
      const codec = codecFor(known);
      for (const { payload, file, line } of records)
        readRows(codec, payload, (error) => {
          const { message } = asPenstockError(error);
          throw Object.assign(asPenstockError(error), { message: `Line ${line} of ${file}: ${message}` });
        });
      return { value: records.length, message: `The first ${records.length} records can be decoded` };
    } finally {
      options.files.close();
    }
  });
}
