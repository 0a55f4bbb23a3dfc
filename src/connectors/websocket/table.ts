import Type, { type Static } from 'typebox';
import { type DescribedError, errorMaker, type FieldError } from '../../errors.ts';
import type { MetadataColumn } from '../connector.ts';
import { httpFields, httpSecrets, validateHttpTable } from '../network/http-table.ts';
import { refuseRegistry, registrySecrets, schemaRegistryField } from '../schema-registry/profile.ts';

const message = Type.String({ title: 'Subscription Message', maxLength: 2_048 });

/**
 * A WebSocket table. `endpoint`, `headers`, `subscription_message` and `subscription_messages` are Arroyo's, the other
 * fields are additions.
 */
export const WebSocketTable = Type.Object(
  {
    ...httpFields,
    endpoint: {
      ...httpFields.endpoint,
      description: 'URL of the WebSocket: ws:// or wss://. A part such as a token may be a {{ NAME }}',
      examples: ['wss://example.com/stream'],
    },
    subscription_message: Type.Optional(
      Type.String({
        title: 'Subscription Message',
        description: 'Message to send when the WebSocket is open. Use subscription_messages',
        maxLength: 2_048,
        deprecated: true,
      }),
    ),
    subscription_messages: Type.Optional(
      Type.Array(message, {
        title: 'Subscription Messages',
        description: 'Messages to send in order when the WebSocket is open, also after each reconnect',
        maxItems: 100,
      }),
    ),
    protocol: Type.Optional(
      Type.String({
        title: 'Protocol',
        description: 'Subprotocol to ask for, such as graphql-transport-ws',
        pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$",
        maxLength: 255,
      }),
    ),
    ping_interval_secs: Type.Optional(
      Type.Integer({
        title: 'Ping Interval',
        description:
          'Seconds between pings. The connection counts as lost if nothing comes between two of them',
        default: 30,
        minimum: 1,
        maximum: 3_600,
      }),
    ),
    ...schemaRegistryField,
  },
  {
    title: 'WebsocketTable',
    additionalProperties: false,
    sensitive: [...httpSecrets, ...registrySecrets('schemaRegistryEnum')],
  },
);
export type WebSocketTable = Static<typeof WebSocketTable>;

export const webSocketErrors = {
  websocket_closed: {
    title: 'The WebSocket server refuses the client',
    passing: false,
    means:
      'The server closed the WebSocket with a code that says that the client is at fault (1002, 1003, 1007, 1008, 1010).',
    todo: 'The message has the reason that the server gives. Check the subscription messages, the protocol and the login.',
  },
  websocket_message_too_large: {
    title: 'A message of the WebSocket is too large',
    passing: true,
    means:
      'A message has more than 16 MiB. The connection was closed, because such a message cannot be skipped.',
    todo: 'Let the server send smaller messages. Penstock connects again.',
  },
} as const satisfies Record<string, DescribedError>;

export const webSocketError = errorMaker(webSocketErrors);

export const validateTable = (table: WebSocketTable): FieldError[] => [
  ...validateHttpTable(table, 'ws'),
  ...refuseRegistry(table),
];

/** The messages to send when it is open. Forms send empty ones. */
export const subscriptionsOf = ({
  subscription_message,
  subscription_messages = [],
}: WebSocketTable): string[] =>
  [subscription_message ?? '', ...subscription_messages].filter((text) => text !== '');

export const metadataColumns = [
  { name: 'timestamp', type: 'timestamp', description: 'Time of arrival' },
  { name: 'binary', type: 'bool', description: 'Whether it is a binary message' },
] as const satisfies readonly MetadataColumn[];
