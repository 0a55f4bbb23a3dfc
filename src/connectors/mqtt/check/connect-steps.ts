import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext, Reachable } from '../../connector.ts';
import type { Endpoint } from '../config/address.ts';
import { visitor } from '../config/identity.ts';
import { given, type MqttProfile } from '../config/profile.ts';
import { type Qos, qosNames } from '../config/qos.ts';
import type { MqttTable } from '../config/table.ts';
import { connectTo, endpointsOf } from '../connection/client.ts';
import type { Connection } from '../connection/connection.ts';
import { silence } from '../connection/socket-errors.ts';
import { connectTcp, type Dialable, resolveHost, startTls, startWebSocket } from '../connection/transport.ts';
import { diagnosePlain, diagnoseTls } from './diagnose.ts';
import type { CheckSteps, Finding } from './steps.ts';
import { tlsFinding } from './tls-facts.ts';

/** The steps of a connection test from a name to a client that the broker has accepted. */

/** What has been opened on the way, for whoever has to close it. */
export interface Opened {
  stream?: Duplex;
  connection?: Connection;
}

/** Answers the connection; undefined when a step has failed. Without an endpoint the URL is what failed. */
export async function reach(
  context: CheckContext<MqttProfile, MqttTable>,
  steps: CheckSteps,
  opened: Opened,
  endpoint: Endpoint | undefined,
): Promise<Connection | undefined> {
  const { profile, targets } = context;
  const addresses = await steps.run('resolve', async (signal) => {
    const { host } = endpoint ?? (endpointsOf(profile)[0] as Endpoint);
    return resolved(host, await resolveHost(host, targets, signal));
  });
  const target = endpoint as Endpoint;
  const plain = await steps.run('tcp', async (signal) => {
    const socket = await connectTcp(target, addresses as Dialable[], signal);
    opened.stream = socket;
    return connectedTo(socket);
  });
  const socket = target?.tls ? await secure(plain, target, addresses, profile, steps, opened) : plain;
  const stream = target?.path === undefined ? socket : await upgraded(socket, target, steps, opened);
  return await steps.run('mqtt_connect', async (signal) => {
    const connection = await logIn(context, target, stream as Duplex, signal).catch(
      async (error: unknown) => {
        const mayBeTls = isSilent(error) && !target.tls && target.path === undefined;
        throw mayBeTls ? await diagnoseTls(error, target, addresses as Dialable[], signal) : error;
      },
    );
    opened.connection = connection;
    return accepted(connection, profile);
  });
}

const secure = (
  plain: Socket | undefined,
  target: Endpoint,
  addresses: Dialable[] | undefined,
  profile: MqttProfile,
  steps: CheckSteps,
  opened: Opened,
): Promise<Socket | undefined> =>
  steps.run('tls', async (signal) => {
    const socket = await startTls(plain as Socket, target, profile, signal).catch(async (error: unknown) => {
      throw isSilent(error) ? await diagnosePlain(error, target, addresses as Dialable[], signal) : error;
    });
    opened.stream = socket;
    return tlsFinding(socket, target, signal);
  });

const upgraded = (
  socket: Socket | undefined,
  target: Endpoint,
  steps: CheckSteps,
  opened: Opened,
): Promise<Duplex | undefined> =>
  steps.run('websocket', async (signal) => {
    const stream = await startWebSocket(socket as Socket, target, signal);
    opened.stream = stream;
    return { value: stream, message: 'The server has opened a WebSocket', details: { path: target.path } };
  });

const isSilent = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && error.cause === silence;

function resolved(host: string, addresses: Dialable[]): Finding<Dialable[]> {
  const list = addresses.map((entry) => entry.address);
  return {
    value: addresses,
    message: `${host} has ${list.length === 1 ? 'the address' : 'the addresses'} ${list.join(', ')}`,
    details: { host, addresses: list },
  };
}

const connectedTo = (socket: Socket): Finding<Socket> => ({
  value: socket,
  message: `Connected to ${socket.remoteAddress} port ${socket.remotePort}`,
  details: { address: socket.remoteAddress, port: socket.remotePort },
});

const logIn = (
  reachable: Reachable<MqttProfile>,
  endpoint: Endpoint,
  stream: Duplex,
  signal: AbortSignal,
): Promise<Connection> => connectTo(endpoint, { ...visitor(reachable), signal }, stream);

function accepted(connection: Connection, profile: MqttProfile): Finding<Connection> {
  const { version, limits } = connection;
  const older = version === 4 && profile.protocolVersion !== '3.1.1';
  const finding: Finding<Connection> = {
    value: connection,
    message: older
      ? 'Logged in with MQTT 3.1.1, because the broker does not take MQTT 5'
      : `Logged in with MQTT ${version === 5 ? '5' : '3.1.1'}`,
    details: connackFacts(connection),
    ...(older
      ? { hint: 'With 3.1.1 a broker does not say why it refuses a message, nor that it does.' }
      : {}),
  };
  const wrong = willProblem(profile, limits);
  if (wrong === undefined) return finding;
  return {
    ...finding,
    code: 'mqtt_will_refused',
    message: `${finding.message}, but ${wrong}`,
    hint: 'Change the qos or retain of the last will (will): with this one the broker refuses connections.',
  };
}

/** The last will is not sent by a test: whether the broker would take it follows from its limits. */
function willProblem({ will }: MqttProfile, limits: Connection['limits']): string | undefined {
  if (will === undefined) return undefined;
  const qos = qosNames.indexOf(will.qos ?? 'AtMostOnce') as Qos;
  if (qos > limits.maximumQos) return `the broker takes no last will of QoS ${qos}`;
  if (will.retain === true && !limits.retain) return 'the broker takes no last will to retain';
  return undefined;
}

/** The CONNACK for people. With 3.1.1 a broker says nothing of its limits: they are what that version implies. */
function connackFacts({ connack, client, version, limits }: Connection): Record<string, unknown> {
  const said = version === 5 ? connack?.properties : undefined;
  const { clientId } = client.options;
  return {
    protocolVersion: version === 5 ? '5' : '3.1.1',
    reasonCode: 0,
    reason: 'success',
    clientId: said?.assignedClientIdentifier ?? clientId,
    clientIdAssigned: given(said?.assignedClientIdentifier),
    ...limits,
    limitsFrom: version === 5 ? 'broker' : 'protocol version',
    keepAliveSecs: said?.serverKeepAlive ?? client.options.keepalive,
    sessionExpirySecs: said?.sessionExpiryInterval ?? 0,
    topicAliasMaximum: said?.topicAliasMaximum ?? 0,
    subscriptionIdentifiers: version === 5 && (said?.subscriptionIdentifiersAvailable ?? true),
    ...(said?.responseInformation === undefined ? {} : { responseInformation: said.responseInformation }),
    ...(said?.serverReference === undefined ? {} : { serverReference: said.serverReference }),
  };
}
