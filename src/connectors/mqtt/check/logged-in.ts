import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import type { Finding } from '../../network/check-steps.ts';
import { given } from '../../network/tls.ts';
import type { BrokerEndpoint } from '../config/broker-url.ts';
import { codeOf } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import { qosLevel } from '../config/topic.ts';
import { connectTo } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';
import { grantLessened, lessened, sessionExpirySecs, sessionShortened } from '../connection/granted.ts';
import { textOf } from '../connection/reason-codes.ts';

/** Test step: the broker's CONNACK, and how long it would keep the session of a source. */

type MqttCheckContext = CheckContext<MqttProfile, MqttTable>;

interface SessionGrant {
  /** Undefined if the broker does not say, or if it refused to say. */
  grantedSecs: number | undefined;
  note?: string;
}

const sessionWaitMs = 2_000;
const versionWaitMs = 1_000;

/**
 * Asks for the session of a source, without a subscription, and ends it at once. Not aborted halfway, which could leave the
 * session behind. Undefined for a sink, which has none.
 */
export async function grantedSession(
  { profile, targets, table }: MqttCheckContext,
  endpoint: BrokerEndpoint,
  { version }: Connection,
): Promise<SessionGrant | undefined> {
  if (table !== undefined && direction(table) === 'sink') return undefined;
  if (version === 4)
    return {
      grantedSecs: undefined,
      note: 'With MQTT 3.1.1 a broker does not say how long it keeps a session',
    };
  const late = new PenstockError('connection_timeout', `No response within ${sessionWaitMs} ms`);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(late), sessionWaitMs);
  try {
    const connection = await connectTo(endpoint, {
      ...probeClient({ profile: { ...profile, protocolVersion: '5' }, targets }),
      sessionExpirySecs: sessionExpirySecs(profile),
      signal: deadline.signal,
    });
    await connection.close();
    return { grantedSecs: connection.limits.sessionExpirySecs };
  } catch (error) {
    const { message } = asPenstockError(error);
    return { grantedSecs: undefined, note: `A second connection, to ask for a session, failed: ${message}` };
  } finally {
    clearTimeout(timer);
  }
}

const versionTopic = '$SYS/broker/version';

/**
 * The broker in its own words, from a retained message that mosquitto and others keep. Undefined if it has none, or if the user
 * may not read it: nothing is concluded from how a broker behaves.
 */
export async function brokerVersion(
  context: MqttCheckContext,
  endpoint: BrokerEndpoint,
  { version }: Connection,
): Promise<string | undefined> {
  const ms = Math.min(versionWaitMs, context.stepTimeoutMs * 0.3);
  const deadline = AbortSignal.any([context.signal, AbortSignal.timeout(ms)]);
  let found: string | undefined;
  try {
    const connection = await connectTo(endpoint, {
      ...probeClient({
        profile: { ...context.profile, protocolVersion: version === 5 ? '5' : '3.1.1' },
        targets: context.targets,
      }),
      signal: deadline,
    });
    try {
      connection.client.on('message', (topic, payload) => {
        if (topic === versionTopic) found ??= textOf(payload.toString());
      });
      await connection.subscribe(versionTopic, 0, deadline, 'always');
      // A retained message comes before the response.
      await connection.ping(deadline);
    } finally {
      await connection.close();
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof PenstockError) && !deadline.aborted) throw error;
  }
  return found || undefined;
}

/** A queue limit is known to the broker only: MQTT has no field for it. */
const sessionFacts = (profile: MqttProfile, { grantedSecs, note }: SessionGrant) => ({
  session: {
    askedSecs: sessionExpirySecs(profile),
    grantedSecs: grantedSecs ?? null,
    ...(note === undefined ? {} : { note }),
    queueLimit:
      'Not known: MQTT does not say how many messages a broker keeps for a source that is away. Beyond its limit it drops ' +
      'messages or the whole session (mosquitto: max_queued_messages, 1000 by default).',
  },
});

const fallbacks = {
  refused: 'does not support MQTT 5',
  closed: 'closed the connection at MQTT 5',
  silent: 'did not respond to a CONNECT of MQTT 5',
};

export function loggedIn(
  connection: Connection,
  { profile, table }: MqttCheckContext,
  session: SessionGrant | undefined,
  broker: string | undefined,
): Finding<Connection> {
  const { version, limits } = connection;
  const older = version === 4 && profile.protocolVersion !== '3.1.1';
  const finding: Finding<Connection> = {
    value: connection,
    message: older
      ? `Logged in with MQTT 3.1.1, because the broker ${fallbacks[connection.fallback ?? 'refused']}`
      : `Logged in with MQTT ${version === 5 ? '5' : '3.1.1'}`,
    details: {
      ...connackFacts(connection),
      ...(broker === undefined ? {} : { broker: { version: broker, from: versionTopic } }),
      lessened: version === 5 ? lessened(limits, profile, table) : {},
      ...(session === undefined ? {} : sessionFacts(profile, session)),
    },
    ...(older ? { hint: 'With MQTT 3.1.1 a broker cannot report that it refuses a message.' } : {}),
  };
  const problem = willProblem(profile, limits);
  const shortened = sessionShortened(sessionExpirySecs(profile), session?.grantedSecs);
  const warnings = [shortened, grantLessened(connection, profile, table)].filter((one) => one !== undefined);
  const [first] = warnings;
  if (problem === undefined && first !== undefined)
    return {
      ...finding,
      code: codeOf(first),
      message: [finding.message, ...warnings.map(({ message }) => message)].join('. '),
      hint: warnings.map(({ hint }) => hint).join(' '),
    };
  if (problem === undefined) return finding;
  return {
    ...finding,
    code: 'mqtt_will_refused',
    message: `${finding.message}, but ${problem}`,
    hint: 'Change the qos or retain of the last will (will). Otherwise the broker will refuse the connections of jobs.',
  };
}

/** A test sends no last will: whether the broker would accept it follows from its limits. */
function willProblem({ will }: MqttProfile, limits: Connection['limits']): string | undefined {
  if (will === undefined) return undefined;
  const qos = qosLevel(will.qos);
  if (qos > limits.maximumQos) return `the broker accepts no last will with QoS ${qos}`;
  if (will.retain === true && !limits.retain) return 'the broker accepts no retained last will';
  return undefined;
}

/** The CONNACK for people. A broker reports no limits with 3.1.1: they are the ones that the version implies. */
function connackFacts({ connack, client, version, limits }: Connection): Record<string, unknown> {
  const properties = version === 5 ? connack?.properties : undefined;
  const { assignedClientIdentifier, responseInformation, serverReference, userProperties } = properties ?? {};
  return {
    protocolVersion: version === 5 ? '5' : '3.1.1',
    reasonCode: 0,
    reason: 'success',
    clientId: assignedClientIdentifier ? textOf(assignedClientIdentifier) : client.options.clientId,
    clientIdAssigned: given(assignedClientIdentifier),
    ...limits,
    limitsFrom: version === 5 ? 'broker' : 'protocol version',
    sessionExpirySecs: limits.sessionExpirySecs ?? 0,
    askedKeepAliveSecs: client.options.keepalive,
    topicAliasMaximum: properties?.topicAliasMaximum ?? 0,
    subscriptionIdentifiers: version === 5 && (properties?.subscriptionIdentifiersAvailable ?? true),
    ...(responseInformation === undefined ? {} : { responseInformation: textOf(responseInformation) }),
    ...(userProperties === undefined ? {} : { userProperties: shownProperties(userProperties) }),
    ...(serverReference === undefined ? {} : { serverReference: textOf(serverReference) }),
  };
}

const maxProperties = 20;

const shownProperties = (properties: object): Record<string, string> =>
  Object.fromEntries(
    Object.entries(properties)
      .slice(0, maxProperties)
      .map(([name, value]) => [textOf(name), textOf([value].flat().join(', '))]),
  );
