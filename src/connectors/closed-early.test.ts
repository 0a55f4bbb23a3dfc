import { expect, test } from 'vitest';
import { runContext } from '../../test/support/connector-conformance/subject.ts';
import { FaultyServer } from '../../test/support/faulty-server.ts';
import type { RunContext, Source } from './connector.ts';
import { connectorFor } from './registry.ts';

/** Every connector against a server that closes each connection at once, as one that starts does, or a proxy before one that is down. */

const insecure = { tls: { insecureSkipVerify: true } };
const fields = [{ name: 'n', type: 'int64' as const }];

type End = 'source' | 'sink';
type Case = [name: string, connector: string, end: End, at: (address: string, port: number) => object];

const [source, sink] = [
  { topic: 'a', type: {} },
  { topic: 'a', type: { retain: false } },
];
const mqtt = (scheme: string, protocolVersion: string): Case[] =>
  (['source', 'sink'] as const).map((end) => [
    `MQTT ${protocolVersion} over ${scheme}`,
    ...(['mqtt', end] as const),
    (address) => ({
      profile: { url: `${scheme}://${address}`, clientPrefix: 'p', protocolVersion, ...insecure },
      table: end === 'source' ? source : sink,
    }),
  ]);
const redis = (scheme: string): Case[] => [
  [
    `a stream of ${scheme}`,
    ...(['redis', 'source'] as const),
    (address) => ({
      profile: { connection: { address: `${scheme}://${address}` } },
      table: { connectorType: { stream: 's', consumerGroup: 'g' } },
    }),
  ],
  [
    `a cluster of ${scheme}`,
    ...(['redis', 'sink'] as const),
    (address) => ({
      profile: { connection: { addresses: [`${scheme}://${address}`] } },
      table: { connectorType: { target: { streamPrefix: 's' } } },
    }),
  ],
];
const postgres = (mode: string): Case => [
  `PostgreSQL with TLS ${mode}`,
  ...(['postgres', 'sink'] as const),
  (_, port) => ({
    profile: { host: '127.0.0.1', port, user: 'u', database: 'd', tls: { mode } },
    table: { table: 't' },
  }),
];
const nats = (scheme: string): Case => [
  `NATS ${scheme}`,
  ...(['nats', 'source'] as const),
  (address) => ({
    profile: { servers: `${scheme}${address}`, authentication: {} },
    table: { connectorType: { sourceType: { subject: 's' } } },
  }),
];
const kafka = (protocol: string): Case => [
  `Kafka with ${protocol}`,
  ...(['kafka', 'sink'] as const),
  (address) => ({
    profile: {
      bootstrapServers: address,
      authentication: { protocol, mechanism: 'PLAIN', username: 'u', password: 'p' },
    },
    table: { topic: 't', type: { commit_mode: 'at_least_once' } },
  }),
];
const rabbitmq = (tls: boolean): Case => [
  `RabbitMQ ${tls ? 'with' : 'without'} TLS`,
  ...(['rabbitmq', 'source'] as const),
  (address) => ({
    profile: { host: address, ...(tls ? { tls_config: { enabled: true } } : {}) },
    table: { type: { queue: 'q' } },
  }),
];
const http = (connector: string, scheme: string): Case => [
  scheme,
  ...([connector, 'source'] as const),
  (address) => ({ profile: {}, table: { endpoint: `${scheme}://${address}/` } }),
];

const cases: Case[] = [
  ...['5', '3.1.1'].flatMap((version) =>
    ['mqtt', 'mqtts', 'ws', 'wss'].flatMap((scheme) => mqtt(scheme, version)),
  ),
  ...['redis', 'rediss'].flatMap(redis),
  ...['disable', 'require', 'verify-full'].map(postgres),
  ...['', 'tls://'].map(nats),
  ...['PLAINTEXT', 'SASL_PLAINTEXT', 'SASL_SSL'].map(kafka),
  ...[false, true].map(rabbitmq),
  ...['ws', 'wss'].map((scheme) => http('websocket', scheme)),
  ...['http', 'https'].map((scheme) => http('sse', scheme)),
];

/** The error with which a connection ends. */
async function endOf(connector: string, end: End, context: RunContext<never, never>): Promise<unknown> {
  const { openSource, openSink } = connectorFor(connector);
  try {
    const opened = await (end === 'source' ? openSource : openSink)?.(context);
    for await (const _ of opened as Source);
    return undefined;
  } catch (error) {
    return error;
  }
}

test.each(cases)('%s: a job of %s with this %s tries again', async (_, connector, end, at) => {
  for (const way of ['at once', 'with a reset', 'after a moment'] as const) {
    const server = await FaultyServer.start((socket) => {
      if (way === 'at once') socket.end();
      else if (way === 'with a reset') socket.resetAndDestroy();
      else setTimeout(() => socket.destroy(), 50);
    });
    const { profile, table } = at(`127.0.0.1:${server.port}`, server.port) as Record<string, object>;
    const context = { ...runContext(table as object), profile, schema: { fields } } as RunContext<
      never,
      never
    >;
    expect({ way, error: await endOf(connector, end, context) }).toMatchObject({
      way,
      error: { passing: true, code: expect.not.stringContaining('timeout') },
    });
  }
});
