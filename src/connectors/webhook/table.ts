import Type, { type Static } from 'typebox';
import { type DescribedError, errorMaker, type FieldError, PenstockError } from '../../errors.ts';
import { usesRegistry } from '../../formats/confluent.ts';
import type { ColumnUse } from '../../formats/schema/column-use.ts';
import { type ConnectionSchema, fieldTypes } from '../../formats/schema/schema.ts';
import { isOwned, parseHeaders } from '../network/http.ts';
import { httpFields, httpSecrets, validateHttpTable } from '../network/http-table.ts';
import { refuseRegistry, registrySecrets, schemaRegistryField } from '../schema-registry/profile.ts';

/** A webhook table: `endpoint` and `headers` are Arroyo's, the other fields are additions. */
export const WebhookTable = Type.Object(
  {
    ...httpFields,
    method: Type.Optional(
      Type.Enum(['POST', 'PUT', 'PATCH'], {
        title: 'Method',
        description: 'Method of the requests',
        default: 'POST',
      }),
    ),
    batch: Type.Optional(
      Type.Enum(['none', 'json_array', 'ndjson'], {
        title: 'Batch',
        description:
          'How messages share a request: not at all, as a JSON array, or as one JSON document a line. A batch has the ' +
          'messages that wait, it never waits for more',
        default: 'none',
      }),
    ),
    batch_max_messages: Type.Optional(
      Type.Integer({
        title: 'Messages per Batch',
        description: 'Maximum number of messages in a batch',
        default: 100,
        minimum: 1,
        maximum: 1_000,
      }),
    ),
    batch_max_bytes: Type.Optional(
      Type.Integer({
        title: 'Bytes per Batch',
        description: 'Maximum size of a batch. A larger message is sent alone',
        default: 1_048_576,
        minimum: 1,
        maximum: 67_108_864,
      }),
    ),
    concurrency: Type.Optional(
      Type.Integer({
        title: 'Concurrency',
        description:
          'Maximum number of requests at the same time. With more than one, messages may overtake each other unless ' +
          'order_by is set',
        default: 1,
        minimum: 1,
        maximum: 64,
      }),
    ),
    order_by: Type.Optional(
      Type.String({
        title: 'Order By',
        description: 'Column whose equal values stay in order, such as a device, if concurrency is above 1',
        maxLength: 255,
      }),
    ),
    idempotency_header: Type.Optional(
      Type.String({
        title: 'Idempotency Header',
        description:
          'Header for a key that is the same if a message is sent again, such as Idempotency-Key. The key is the SHA-256 ' +
          'of the message, so equal messages have equal keys. Not with batches',
        examples: ['Idempotency-Key'],
        maxLength: 100,
      }),
    ),
    ...schemaRegistryField,
  },
  {
    title: 'WebhookTable',
    additionalProperties: false,
    sensitive: [...httpSecrets, ...registrySecrets('schemaRegistryEnum')],
  },
);
export type WebhookTable = Static<typeof WebhookTable>;

export const webhookErrors = {
  webhook_message_refused: {
    title: 'The HTTP server refuses a message',
    passing: false,
    means: 'The server responded with 400, 409, 413 or 422: it will not take this message.',
    todo: 'Correct the query or the format. `bad_data` of the table sets what happens to such messages.',
  },
} as const satisfies Record<string, DescribedError>;

export const webhookError = errorMaker(webhookErrors);

/** Statuses that say that the message is at fault, and not the endpoint (RFC 9110, 15.5; 422 is 15.5.21). */
export const refusesMessage = (status: number): boolean => [400, 409, 413, 422].includes(status);

/** How messages are sent, with the defaults. Forms send empty strings. */
export function sends(table: WebhookTable) {
  const { batch = 'none', order_by, idempotency_header } = table;
  return {
    method: table.method ?? 'POST',
    batch,
    maxMessages: batch === 'none' ? 1 : (table.batch_max_messages ?? 100),
    maxBytes: table.batch_max_bytes ?? 1_048_576,
    concurrency: table.concurrency ?? 1,
    orderBy: order_by === '' ? undefined : order_by,
    idempotencyHeader: idempotency_header === '' ? undefined : idempotency_header,
  };
}

export function validateTable(table: WebhookTable): FieldError[] {
  const errors = [...validateHttpTable(table), ...refuseRegistry(table)];
  const { batch, idempotencyHeader } = sends(table);
  if (idempotencyHeader === undefined) return errors;
  const path = '/idempotency_header';
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(idempotencyHeader))
    errors.push({ path, message: 'must be the name of a header, such as Idempotency-Key' });
  const name = idempotencyHeader.toLowerCase();
  if (isOwned(name) || name === 'content-type')
    errors.push({ path, message: 'must be another header: every request has this one already' });
  const headers = parseHeaders(table.headers ?? '');
  if (typeof headers === 'object' && name in headers)
    errors.push({ path, message: 'must be left out of headers: it cannot be set twice' });
  if (batch !== 'none')
    errors.push({
      path,
      message: 'must be left out with batches: a message that is sent again may be in another batch',
    });
  return errors;
}

/** Throws `invalid_config` if messages of this schema cannot be batched. */
export function checkBatches(table: WebhookTable, { format }: ConnectionSchema): void {
  const { batch } = sends(table);
  if (batch === 'none' || (format?.type === 'json' && format.compression !== 'gzip' && !usesRegistry(format)))
    return;
  const these = usesRegistry(format) ? 'begin with an id' : `are in ${format?.type ?? 'no format'}`;
  const message = `must be none: only messages in json can be batched, and these ${these}`;
  throw new PenstockError('invalid_config', `/config/batch ${message}`, {
    errors: [{ path: '/config/batch', message }],
  });
}

const ordered = fieldTypes.filter((type) => !['bytes', 'struct', 'list', 'json'].includes(type));

export function columnsOf(table: WebhookTable): ColumnUse[] {
  const { orderBy } = sends(table);
  return orderBy === undefined ? [] : [{ path: '/order_by', column: orderBy, types: ordered }];
}

const contentTypes: Readonly<Record<string, string>> = {
  json: 'application/json',
  csv: 'text/csv; charset=utf-8',
  raw_string: 'text/plain; charset=utf-8',
  cbor: 'application/cbor',
  msgpack: 'application/vnd.msgpack',
};

/** The media type of a request, unless the headers set one. */
export function contentType(table: WebhookTable, { format }: ConnectionSchema): string {
  if (sends(table).batch === 'ndjson') return 'application/x-ndjson';
  return contentTypes[format?.type ?? ''] ?? 'application/octet-stream';
}
