import Type, { type Static } from 'typebox';
import { type DescribedError, errorMaker, type FieldError } from '../../errors.ts';
import { usesRegistry } from '../../formats/confluent.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { MetadataColumn } from '../connector.ts';
import { httpFields, httpSecrets, validateHttpTable } from '../network/http-table.ts';
import { refuseRegistry, registrySecrets, schemaRegistryField } from '../schema-registry/profile.ts';

/** A polling table. The fields up to `emit_behavior` are Arroyo's, besides `timeout_ms` and TLS; the others are additions. */
export const PollingTable = Type.Object(
  {
    ...httpFields,
    method: Type.Optional(
      Type.Enum(['GET', 'POST', 'PUT', 'PATCH'], {
        title: 'Method',
        description: 'Method of the requests',
        default: 'GET',
      }),
    ),
    body: Type.Optional(
      Type.String({
        title: 'Body',
        description: 'Body of the requests',
        format: 'var-str',
        maxLength: 1_048_576,
      }),
    ),
    poll_interval_ms: Type.Optional(
      Type.Integer({
        title: 'Polling Interval (ms)',
        description: 'Milliseconds between the end of a poll and the next one',
        examples: ['1000'],
        default: 1_000,
        minimum: 10,
        maximum: 86_400_000,
      }),
    ),
    emit_behavior: Type.Optional(
      Type.Enum(['all', 'changed'], {
        title: 'Emit Behavior',
        description:
          'Whether every response makes messages, or only one that differs from the response before',
        default: 'all',
      }),
    ),
    items: Type.Optional(
      Type.String({
        title: 'Items',
        description:
          'Place of a list in the response, each item of which is a message: a JSON pointer such as /data/items, or / for a ' +
          'response that is a list itself. By default the whole response is one message',
        maxLength: 1_024,
      }),
    ),
    paging: Type.Optional(
      Type.Enum(['none', 'link', 'cursor'], {
        title: 'Paging',
        description:
          'How a response names the next one: not at all, by the header Link with rel=next, or by a cursor in its body',
        default: 'none',
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        title: 'Cursor',
        description: 'Place of the cursor in the response: a JSON pointer such as /next_cursor',
        maxLength: 1_024,
      }),
    ),
    cursor_parameter: Type.Optional(
      Type.String({
        title: 'Cursor Parameter',
        description: 'Query parameter that takes the cursor in the next request',
        maxLength: 255,
      }),
    ),
    max_response_bytes: Type.Optional(
      Type.Integer({
        title: 'Response Bytes',
        description: 'Maximum size of a response',
        default: 16_777_216,
        minimum: 1,
        maximum: 67_108_864,
      }),
    ),
    ...schemaRegistryField,
  },
  {
    title: 'PollingHTTPTable',
    additionalProperties: false,
    sensitive: [...httpSecrets, ...registrySecrets('schemaRegistryEnum')],
  },
);
export type PollingTable = Static<typeof PollingTable>;

export const pollingErrors = {
  polling_unreadable: {
    title: 'The HTTP response does not have the configured list or cursor',
    passing: false,
    means: 'The response is not JSON, or has no list at `items`, or its cursor is not a text or number.',
    todo: 'Test the table: it shows the beginning of a response. Correct `items` or `cursor`.',
  },
} as const satisfies Record<string, DescribedError>;

export const pollingError = errorMaker(pollingErrors);

/** The options with their defaults. Forms send empty strings. */
export function polls(table: PollingTable) {
  const given = (text: string | undefined) => (text === '' ? undefined : text);
  return {
    method: table.method ?? 'GET',
    body: given(table.body),
    intervalMs: table.poll_interval_ms ?? 1_000,
    changedOnly: table.emit_behavior === 'changed',
    items: given(table.items),
    paging: table.paging ?? 'none',
    cursor: given(table.cursor),
    cursorParameter: given(table.cursor_parameter),
    maxBytes: table.max_response_bytes ?? 16_777_216,
  };
}

/** Where messages begin with an id, a response is no JSON in which a list or cursor can be found. */
export function validateSchema(table: PollingTable, { format }: ConnectionSchema): FieldError[] {
  const { items, cursor } = polls(table);
  if (!usesRegistry(format) || (items === undefined && cursor === undefined)) return [];
  const message = 'must be left out with items or cursor, which need a response in JSON';
  return [{ path: '/format/confluent_schema_registry', message }];
}

export function validateTable(table: PollingTable): FieldError[] {
  const errors = [...validateHttpTable(table), ...refuseRegistry(table)];
  const { method, body, items, paging, cursor, cursorParameter } = polls(table);
  const add = (path: string, message: string) => void errors.push({ path, message });
  if (body !== undefined && method === 'GET') add('/body', 'needs another method than GET');
  for (const [path, pointer] of [
    ['/items', items],
    ['/cursor', cursor],
  ] as const)
    if (pointer !== undefined && !/^\/([^~]|~[01])*$/.test(pointer))
      add(path, 'must be a JSON pointer, such as /data/items (RFC 6901)');
  if (paging === 'cursor') {
    if (cursor === undefined) add('/cursor', 'is required with paging by cursor');
    if (cursorParameter === undefined) add('/cursor_parameter', 'is required with paging by cursor');
    return errors;
  }
  for (const [path, value] of [
    ['/cursor', cursor],
    ['/cursor_parameter', cursorParameter],
  ] as const)
    if (value !== undefined) add(path, 'is only for paging by cursor; set paging to cursor');
  return errors;
}

export const metadataColumns = [
  { name: 'timestamp', type: 'timestamp', description: 'Time of the response' },
  { name: 'status', type: 'int32', description: 'HTTP status of the response' },
  { name: 'item', type: 'int32', description: 'Number of the item in its response, from 0' },
] as const satisfies readonly MetadataColumn[];
