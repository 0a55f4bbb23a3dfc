import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';
import { PenstockError } from '../../errors.ts';
import type { CheckContext } from '../connector.ts';
import { checkProfile, checkSink, checkSource, type Tested } from './check-messages.ts';
import { CheckSteps, type Finding } from './check-steps.ts';
import { connect, endpointOf } from './client.ts';
import type { Connection } from './connection.ts';
import { diagnosePlain, diagnoseTls } from './diagnose.ts';
import { checkClientId } from './identity.ts';
import type { Endpoint, MqttProfile } from './profile.ts';
import { silence } from './socket-errors.ts';
import { direction, type MqttTable } from './table.ts';
import { tlsFinding } from './tls-facts.ts';
import { connectTcp, resolveHost, startTls } from './transport.ts';

/**
 * Tests a profile or a table against the real broker: `resolve → tcp → tls → mqtt_connect`, then what the table is
 * for. It logs in under an id of its own with a clean session, so it disturbs nobody and leaves nothing behind. See
 * `check` in the connector contract.
 */
export async function check(context: CheckContext<MqttProfile, MqttTable>): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: { socket?: Socket; connection?: Connection } = {};
  try {
    const connection = await reach(context, steps, opened);
    const tested: Tested = { context, steps, connection };
    if (context.table === undefined) await checkProfile(tested);
    else if (direction(context.table) === 'source') await checkSource(tested, context.table);
    else await checkSink(tested, context.table);
  } finally {
    if (context.signal.aborted) await opened.connection?.destroy();
    await opened.connection?.close();
    opened.socket?.destroy();
  }
}

async function reach(
  context: CheckContext<MqttProfile, MqttTable>,
  steps: CheckSteps,
  opened: { socket?: Socket; connection?: Connection },
): Promise<Connection | undefined> {
  const { profile } = context;
  let endpoint: Endpoint | undefined;
  const addresses = await steps.run('resolve', async (signal) => {
    endpoint = endpointOf(profile);
    return resolved(endpoint, await resolveHost(endpoint.host, signal));
  });
  const target = endpoint as Endpoint;
  const plain = await steps.run('tcp', async (signal) => {
    opened.socket = await connectTcp(target, addresses as LookupAddress[], signal);
    return connectedTo(opened.socket);
  });
  let socket = plain;
  if (target?.tls === true) {
    socket = await steps.run('tls', async (signal) => {
      const secure = await startTls(plain as Socket, target, profile, signal).catch(
        async (error: unknown) => {
          throw isSilent(error) ? await diagnosePlain(error, target, signal) : error;
        },
      );
      opened.socket = secure;
      return tlsFinding(secure, target, signal);
    });
  }
  return await steps.run('mqtt_connect', async (signal) => {
    const connection = await logIn(profile, socket as Socket, signal).catch(async (error: unknown) => {
      throw isSilent(error) && !target.tls ? await diagnoseTls(error, target, signal) : error;
    });
    opened.connection = connection;
    return accepted(connection, profile);
  });
}

const isSilent = (error: unknown): error is PenstockError =>
  error instanceof PenstockError && error.cause === silence;

function resolved(endpoint: Endpoint, addresses: LookupAddress[]): Finding<LookupAddress[]> {
  const list = addresses.map((entry) => entry.address);
  return {
    value: addresses,
    message: `${endpoint.host} has ${list.length === 1 ? 'the address' : 'the addresses'} ${list.join(', ')}`,
    details: { host: endpoint.host, addresses: list },
  };
}

const connectedTo = (socket: Socket): Finding<Socket> => ({
  value: socket,
  message: `Connected to ${socket.remoteAddress} port ${socket.remotePort}`,
  details: { address: socket.remoteAddress, port: socket.remotePort },
});

const logIn = (profile: MqttProfile, socket: Socket, signal: AbortSignal): Promise<Connection> =>
  connect({ profile, clientId: checkClientId(profile), clean: true, sessionExpirySecs: 0, signal }, socket);

function accepted(connection: Connection, profile: MqttProfile): Finding<Connection> {
  const version = connection.version === 5 ? '5' : '3.1.1';
  const older = version === '3.1.1' && profile.protocolVersion !== '3.1.1';
  const { limits } = connection;
  return {
    value: connection,
    message: older
      ? 'Logged in with MQTT 3.1.1, because the broker does not take MQTT 5'
      : `Logged in with MQTT ${version}`,
    details: {
      protocolVersion: version,
      reason: 'success',
      clientId: connection.client.options.clientId,
      ...limits,
    },
    ...(older
      ? { hint: 'With 3.1.1 a broker does not say why it refuses a message, nor that it does.' }
      : {}),
  };
}
