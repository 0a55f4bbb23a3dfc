import { PenstockError } from '../../../errors.ts';
import type { Options } from '../../connector.ts';

/**
 * Reads the WITH (…) options of a SQL table, named as Arroyo names them. Only what the types of SQL text cannot carry
 * is checked here; the schemas check the rest. Throws `invalid_config`.
 */
export function fromOptions(options: Options, withProfile: boolean): { profile: unknown; table: unknown } {
  return {
    profile: withProfile ? takeProfile(options) : undefined,
    table: present({
      topic: options.take('topic'),
      qos: options.take('qos'),
      type: takeType(options),
    }),
  };
}

function takeType(options: Options): object {
  const type = options.take('type');
  if (type === 'source') {
    return present({
      retained: options.take('source.retained'),
      messagesPerSecond: options.takeInteger('source.messages_per_second'),
      maxSilenceSecs: options.takeInteger('source.max_silence_secs'),
    });
  }
  if (type === 'sink') return takeSink(options);
  const message = "The option type must be 'source' or 'sink'";
  throw new PenstockError('invalid_config', message, { errors: [{ path: '/type', message }] });
}

function takeSink(options: Options): object {
  return present({
    retain: options.takeBoolean('sink.retain') ?? false,
    expirySecs: options.take('sink.expiry_secs'),
    contentType: options.take('sink.content_type'),
    responseTopic: options.take('sink.response_topic'),
    correlationData: options.take('sink.correlation_data'),
    userProperties: takeObject(options, 'sink.user_properties'),
  });
}

function takeObject(options: Options, name: string): unknown {
  const text = options.take(name);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `The option ${name} must be a JSON object, like {"site": "{{ site }}"}`;
    throw new PenstockError('invalid_config', message, { errors: [{ path: '', message }], cause });
  }
}

function takeProfile(options: Options): object {
  return present({
    url: options.take('url'),
    username: options.take('username'),
    password: options.take('password'),
    tls: group({
      ca: options.take('tls.ca'),
      cert: options.take('tls.cert'),
      key: options.take('tls.key'),
      passphrase: options.take('tls.passphrase'),
    }),
    clientPrefix: options.take('client_prefix'),
    maxPacketSize: options.takeInteger('max_packet_size'),
    protocolVersion: options.take('protocol_version'),
    keepAliveSecs: options.takeInteger('keep_alive_secs'),
    connectTimeoutMs: options.takeInteger('connect_timeout_ms'),
    sessionExpirySecs: options.takeInteger('session_expiry_secs'),
    rejectUnauthorized: options.takeBoolean('reject_unauthorized'),
    serverName: options.take('server_name'),
    alpn: list(options.take('alpn')),
    will: group({
      topic: options.take('will.topic'),
      payload: options.take('will.payload'),
      qos: options.take('will.qos'),
      retain: options.takeBoolean('will.retain'),
      delaySecs: options.takeInteger('will.delay_secs'),
    }),
  });
}

/** Options that belong together: undefined when none of them is given. */
function group(fields: Record<string, unknown>): Record<string, unknown> | undefined {
  const some = present(fields);
  return Object.keys(some).length > 0 ? some : undefined;
}

const list = (text: string | undefined): string[] | undefined => text?.split(',').map((part) => part.trim());

const present = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
