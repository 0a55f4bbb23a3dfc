import Type, { type Static } from 'typebox';
import { type DescribedError, errorMaker } from '../../errors.ts';
import type { MetadataColumn } from '../connector.ts';
import { httpFields, httpSecrets } from '../network/http-table.ts';

/** A table of events. `endpoint`, `headers` and `events` are Arroyo's, the other fields are additions. */
export const SseTable = Type.Object(
  {
    ...httpFields,
    events: Type.Optional(
      Type.String({
        title: 'Events',
        description: 'Types of the events to read, separated by commas. By default all are read',
        examples: ['reading,alarm'],
        maxLength: 2_048,
      }),
    ),
    idle_timeout_secs: Type.Optional(
      Type.Integer({
        title: 'Idle Timeout',
        description:
          'Seconds without a byte after which the connection counts as lost. Servers send comments to keep it alive',
        default: 300,
        minimum: 1,
        maximum: 86_400,
      }),
    ),
  },
  { title: 'SSETable', additionalProperties: false, sensitive: httpSecrets },
);
export type SseTable = Static<typeof SseTable>;

export const sseErrors = {
  sse_not_spoken: {
    title: 'The endpoint does not send events',
    passing: false,
    means: 'The response is not of the type text/event-stream, or an event is larger than 16 MiB.',
    todo: 'Check the path of the endpoint and its headers. Some servers need `Accept: text/event-stream` and a login.',
  },
} as const satisfies Record<string, DescribedError>;

export const sseError = errorMaker(sseErrors);

export const metadataColumns = [
  { name: 'event', type: 'string', description: 'Type of the event; message if it has none' },
  {
    name: 'id',
    type: 'string',
    description: 'Last id that the server sent up to this event; null without one',
  },
  { name: 'timestamp', type: 'timestamp', description: 'Time of arrival' },
] as const satisfies readonly MetadataColumn[];
