import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { CheckSteps, type Finding } from '../../network/check-steps.ts';
import { startTls } from '../../network/dial.ts';
import { dialSteps, tlsFinding } from '../../network/dial-steps.ts';
import { type NatsProfile, type NatsServer, parseServers, serversOf } from '../config/profile.ts';
import { type NatsTable, sinkOf, sourceOf } from '../config/table.ts';
import { type Connection, logIn } from '../connection/client.ts';
import { type Greeted, readInfo, wantsTls } from '../connection/greeting.ts';
import { JetStream } from '../connection/jetstream.ts';
import { checkCoreSource, checkSink, checkStreamSource, type Tested } from './table-steps.ts';

export type NatsCheckContext = CheckContext<NatsProfile, NatsTable>;

interface Opened {
  socket?: Socket;
  connection?: Connection;
}

/**
 * Tests a profile or a table: `resolve → tcp → greeting → tls → login → jetstream`, then the stream or the subject. It creates no
 * consumer and stores no message. See `check` in the connector contract.
 */
export async function check(context: NatsCheckContext): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: Opened[] = [];
  try {
    const connection = await connectAll(context, steps, opened);
    const table = context.table;
    const source = table && sourceOf(table);
    const sink = table && sinkOf(table);
    const isCore = (source && !('stream' in source)) || (sink && !('stream' in sink));
    let jetStream: JetStream | undefined;
    if (!isCore) jetStream = await jetStreamStep(context, steps, connection);
    const tested: Tested = { context, steps, connection: connection as Connection, jetStream };
    if (source && 'stream' in source) await checkStreamSource(tested, source);
    else if (source) await checkCoreSource(tested, source);
    else if (sink) await checkSink(tested, sink);
  } finally {
    await Promise.all(opened.map((one) => close(one, context.signal.aborted)));
  }
}

async function close({ connection, socket }: Opened, atOnce: boolean): Promise<void> {
  if (atOnce) await connection?.destroy();
  await connection?.close();
  socket?.destroy();
}

/** Tests every server of the profile, so that a wrong one is found before a failover. Returns the first connection. */
async function connectAll(
  context: NatsCheckContext,
  steps: CheckSteps,
  opened: Opened[],
): Promise<Connection | undefined> {
  const parsed = parseServers(context.profile.servers);
  const servers = typeof parsed === 'string' ? [undefined] : parsed;
  const connections: (Connection | undefined)[] = [];
  for (const [index, server] of servers.entries()) {
    if (server && servers.length > 1) {
      const lenient = connections.some(Boolean) || index < servers.length - 1;
      steps.beginServer(server.name, lenient);
    }
    const own: Opened = {};
    opened.push(own);
    connections.push(await connectSteps(context, steps, own, server));
  }
  const first = connections.find((connection) => connection !== undefined);
  if (servers.length > 1) steps.endServers(first === undefined);
  return first;
}

/** Undefined if a step failed. Without a server the profile is invalid, and `resolve` reports it. */
async function connectSteps(
  context: NatsCheckContext,
  steps: CheckSteps,
  opened: Opened,
  server: NatsServer | undefined,
): Promise<Connection | undefined> {
  const { profile } = context;
  const target = server as NatsServer;
  const opening = (socket: Socket): void => {
    opened.socket = socket;
  };
  const { socket } = await dialSteps(steps, {
    endpoint: server && { ...server, tls: profile.tlsFirst === true },
    host: () => (server ?? (serversOf(profile)[0] as NatsServer)).host,
    reachable: context,
    opened: opening,
  });
  const greeted = await steps.run(
    'greeting',
    async (signal) => greetingFinding(await readInfo(socket as Socket, target, signal), profile, target),
    { late: silentAtFirst },
  );
  let last = greeted;
  if (!profile.tlsFirst && greeted && wantsTls(profile, target, greeted)) {
    const secured = await steps.run('tls', async (signal) => {
      const secure = await startTls(greeted.socket, target, profile, signal);
      opening(secure);
      return tlsFinding(secure, profile, target, signal);
    });
    last = secured && { ...greeted, socket: secured };
  }
  return steps.run('login', async (signal) => {
    const name = `penstock_check_${randomBytes(8).toString('hex')}`;
    const connection = await logIn(last as Greeted, target, profile, name, signal);
    opened.connection = connection;
    return loginFinding(connection);
  });
}

const silentAtFirst = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not introduce itself within ${ms} ms`, {
    hint: 'A NATS server speaks first. If this one begins with TLS (handshake_first), set tlsFirst.',
  });

/** Throws `tls_not_spoken` if the profile requires TLS and the server has none. */
function greetingFinding(greeted: Greeted, profile: NatsProfile, server: NatsServer): Finding<Greeted> {
  const { info } = greeted;
  const secure = profile.tlsFirst === true || wantsTls(profile, server, greeted);
  const others = info.connect_urls?.length ?? 0;
  return {
    value: greeted,
    message: `nats-server ${info.version}${secure ? '' : ', without TLS'}`,
    details: {
      version: info.version,
      name: info.server_name,
      cluster: info.cluster ?? null,
      maxPayload: info.max_payload,
      jetStream: info.jetstream ?? false,
      // Never dialled: only the servers of the profile are.
      announcedServers: others,
    },
    ...(others > 1 && !profile.servers.includes(',')
      ? {
          hint: `The cluster has ${others} servers. Name them all in servers, so that a job can go on with another one.`,
        }
      : {}),
  };
}

function loginFinding(connection: Connection): Finding<Connection> {
  const { info } = connection;
  return {
    value: connection,
    message: info.auth_required ? 'Logged in' : 'Connected; the server asks for no login',
    details: { authRequired: info.auth_required ?? false, clientId: info.client_id },
  };
}

/** A profile may be for core subjects only: then a missing JetStream is a warning. */
function jetStreamStep(
  { profile, table }: NatsCheckContext,
  steps: CheckSteps,
  connection: Connection | undefined,
): Promise<JetStream | undefined> {
  const mild = ['nats_jetstream_disabled', 'nats_forbidden'];
  return steps.run(
    'jetstream',
    async (signal) => {
      const jetStream = await JetStream.of(connection as Connection, profile, signal);
      try {
        const { streams, consumers, storage, limits } = await jetStream.account();
        return {
          value: jetStream,
          message: `JetStream is available, with ${streams} stream${streams === 1 ? '' : 's'}`,
          details: { streams, consumers, storage, limits },
        };
      } catch (error) {
        // A user may be allowed to use one stream, and not to ask about the account.
        if (table === undefined || (error as PenstockError).code !== 'nats_forbidden') throw error;
        return { value: jetStream, message: 'The user may not ask about the account, which is not needed' };
      }
    },
    table === undefined ? { tolerate: mild } : {},
  );
}
