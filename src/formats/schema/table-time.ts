import Type, { type Static } from 'typebox';
import type { FieldError } from '../../errors.ts';

/** The wire shape of what windows need to know of a source: `time` of a connection schema. */

const day = 24 * 60 * 60 * 1000;

/** Bounds and defaults in milliseconds. */
const delay = { minimum: 0, maximum: 365 * day, default: 1000 };
const idle = { minimum: 0, maximum: 30 * day };
const ahead = { minimum: 0, maximum: 3650 * day };
const horizon = { minimum: 1000, maximum: 30 * day };

export const lateDataBehaviors = ['drop', 'dead_letter'] as const;

export const maxDedupeColumns = 32;

const optional = <T extends Type.TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));
const strict = { additionalProperties: false } as const;

export const TableTime = Type.Object(
  {
    event_time_field: optional(
      Type.String({
        maxLength: 256,
        description: 'Field with the time of an event; without it the time of arrival counts',
      }),
    ),
    watermark_delay_ms: optional(
      Type.Integer({
        ...delay,
        description: `Time that a row may come after later ones and still count; needs event_time_field; default ${delay.default}`,
      }),
    ),
    idle_timeout_ms: optional(
      Type.Integer({
        ...idle,
        description:
          'Time without rows after which the source no longer holds windows open, at least 1000; 0: never; default 300000',
      }),
    ),
    max_ahead_ms: optional(
      Type.Integer({
        ...ahead,
        description: 'A row further ahead of the clock is treated as a late one; default 60000',
      }),
    ),
    late_data: optional(
      Type.Enum([...lateDataBehaviors], {
        description: 'What becomes of a row whose windows are closed; default drop',
      }),
    ),
    dedupe: optional(
      Type.Object(
        {
          columns: Type.Array(Type.String({ maxLength: 256 }), {
            minItems: 1,
            maxItems: maxDedupeColumns,
            description: 'Fields that identify a message',
          }),
          horizon_ms: Type.Integer({
            ...horizon,
            description: 'Time within which a further message with the same values does not count',
          }),
        },
        strict,
      ),
    ),
  },
  { ...strict, description: 'How windows treat the rows of a source' },
);
export type TableTime = Static<typeof TableTime>;

export const defaultDelayMs = delay.default;

interface Column {
  name: string;
  type: string;
}

/** Returns the errors of `time` beyond its JSON Schema. Paths begin at the schema. */
export function validateTime(time: TableTime | null | undefined, fields: readonly Column[]): FieldError[] {
  const errors: FieldError[] = [];
  const add = (path: string, message: string) => errors.push({ path: `/time/${path}`, message });
  if (!time) return errors;
  const { event_time_field: eventTime, watermark_delay_ms, idle_timeout_ms, dedupe } = time;
  const field = fields.find(({ name }) => name === eventTime);
  if (typeof eventTime === 'string' && field?.type !== 'timestamp') {
    const problem = field
      ? `The field ${eventTime} is not a timestamp`
      : `There is no field called ${eventTime}`;
    add('event_time_field', problem);
  }
  if (typeof watermark_delay_ms === 'number' && typeof eventTime !== 'string')
    add('watermark_delay_ms', 'watermark_delay_ms needs event_time_field; add it, or remove the delay');
  if (typeof idle_timeout_ms === 'number' && idle_timeout_ms > 0 && idle_timeout_ms < 1000)
    add('idle_timeout_ms', 'idle_timeout_ms must be 0, which means never, or at least 1000');
  for (const [index, name] of (dedupe?.columns ?? []).entries()) {
    const problem = wrongDedupe(name, fields);
    if (problem !== undefined) add(`dedupe/columns/${index}`, problem);
    else if (dedupe?.columns.indexOf(name) !== index)
      add(`dedupe/columns/${index}`, `The field ${name} is named twice`);
  }
  return errors;
}

/** Returns why a message cannot be identified by this column; undefined if it can. */
export function wrongDedupe(name: string, fields: readonly Column[]): string | undefined {
  const field = fields.find((candidate) => candidate.name === name);
  if (!field) return `There is no field called ${name}`;
  return ['json', 'struct', 'list'].includes(field.type)
    ? `The field ${name} cannot identify a message: it is a ${field.type}`
    : undefined;
}
