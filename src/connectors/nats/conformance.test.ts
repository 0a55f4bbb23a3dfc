import { randomBytes } from 'node:crypto';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { describe } from 'vitest';
import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { testSource } from '../../../test/support/connector-conformance/source.ts';
import { runContext } from '../../../test/support/connector-conformance/subject.ts';
import { FaultyLink } from '../../../test/support/faulty-link.ts';
import { Nats, natsMissing } from '../../../test/support/nats.ts';
import { skipping } from '../../../test/support/skipping.ts';
import type { RunContext } from '../connector.ts';
import type { NatsProfile } from './config/profile.ts';
import type { NatsTable } from './config/table.ts';
import { nats } from './index.ts';

type Context = RunContext<NatsProfile, NatsTable>;

/** The contract of the connector, on a real nats-server. */

const server = natsMissing === undefined ? await Nats.start() : undefined;
const at = server as Nats;
const client = (await server?.client()) as NatsConnection;
const manager = (await server?.manager()) as JetStreamManager;

const login = { authentication: {} };
const unique = () => `S${randomBytes(6).toString('hex')}`;

function contextOf(sourceOrSink: NatsTable['connectorType'], servers = at?.url ?? ''): Context {
  return {
    ...(runContext({ connectorType: sourceOrSink }) as Context),
    profile: { servers, ...login },
    identity: { jobId: `job_${unique()}`, operatorId: 'op', taskIndex: 0 },
  };
}

/** A stream for each context, made before it is asked for. */
const streams: string[] = [];
for (let made = 0; server && made < 60; made++) {
  const name = unique();
  await manager.streams.add({ name, subjects: [`${name}.>`] });
  streams.push(name);
}
const stream = () => streams.pop() as string;
const streamOf = ({ table }: { table: unknown }): string => {
  const { connectorType } = table as NatsTable;
  if ('sourceType' in connectorType && 'stream' in connectorType.sourceType)
    return connectorType.sourceType.stream;
  return 'sinkType' in connectorType && 'stream' in connectorType.sinkType
    ? connectorType.sinkType.stream
    : '';
};
const readsStream = (name = stream()) => contextOf({ sourceType: { stream: name, ackWait: 30 } });
const subjectOf = ({ table }: { table: unknown }): string => {
  const { connectorType } = table as NatsTable;
  const part = 'sourceType' in connectorType ? connectorType.sourceType : connectorType.sinkType;
  return 'subject' in part ? part.subject : `${part.stream}.a`;
};

async function send(context: { table: unknown }, count: number, bytes = 0): Promise<void> {
  for (let sent = 0; sent < count; sent++) client.publish(subjectOf(context), `m${sent}`.padEnd(bytes, '.'));
  await client.flush();
}

const heard = new Map<string, string[]>();
if (server)
  client.subscribe('>', {
    callback: (_error, message) => {
      if (!heard.has(message.subject)) heard.set(message.subject, []);
      heard.get(message.subject)?.push(message.string());
    },
  });
const written = (context: { table: unknown }): string[] => heard.get(subjectOf(context)) ?? [];
const tooLarge = {
  message: { payload: Buffer.alloc(1_048_577), row: {} },
  code: 'nats_message_too_large',
};

async function breakable(make: (servers: string) => Context) {
  const link = await FaultyLink.start(at.port, () => () => {});
  return { context: make(link.url.slice('mqtt://'.length)), cut: () => link.cut() };
}

describe.skipIf(natsMissing)(skipping('a stream of NATS', natsMissing), () => {
  testSource({
    connector: nats,
    dials: true,
    keeps: true,
    context: () => readsStream(),
    send,
    breakable: () => breakable((servers) => ({ ...readsStream(), profile: { servers, ...login } })),
  });

  testSink({
    connector: nats,
    dials: true,
    context: () => {
      const name = stream();
      return contextOf({ sinkType: { subject: `${name}.a`, stream: name } });
    },
    written,
    refused: tooLarge,
    stalled: async () => {
      const name = stream();
      const link: FaultyLink = await FaultyLink.start(at.port, () => (direction, chunk) => {
        if (direction !== 'up') return;
        const found = String(chunk).split('HPUB ').length - 1;
        sent += found;
        if (found > 0) link.blackhole();
      });
      const context = contextOf(
        { sinkType: { subject: `${name}.a`, stream: name } },
        link.url.slice('mqtt://'.length),
      );
      let sent = 0;
      return { context, sent: () => sent };
    },
    breakable: () => {
      const name = stream();
      return breakable((servers) => contextOf({ sinkType: { subject: `${name}.a`, stream: name } }, servers));
    },
  });

  const checked = readsStream();
  testCheck({
    connector: nats,
    dials: true,
    context: () => checked,
    traces: async () => (await manager?.streams.info(streamOf(checked)))?.state.consumer_count,
  });
});

describe.skipIf(natsMissing)(skipping('a subject of NATS', natsMissing), () => {
  testSource({
    connector: nats,
    dials: true,
    keeps: false,
    context: () => contextOf({ sourceType: { subject: `${unique()}.a` } }),
    send,
    breakable: () => breakable((servers) => contextOf({ sourceType: { subject: `${unique()}.a` } }, servers)),
  });

  testSink({
    connector: nats,
    dials: true,
    context: () => contextOf({ sinkType: { subject: `${unique()}.a` } }),
    written,
    refused: tooLarge,
    breakable: () => breakable((servers) => contextOf({ sinkType: { subject: `${unique()}.a` } }, servers)),
  });
});
