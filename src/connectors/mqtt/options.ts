import { PenstockError } from '../../errors.ts';
import type { Options } from '../connector.ts';

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
  const tls = present({
    ca: options.take('tls.ca'),
    cert: options.take('tls.cert'),
    key: options.take('tls.key'),
  });
  return present({
    url: options.take('url'),
    username: options.take('username'),
    password: options.take('password'),
    tls: Object.keys(tls).length > 0 ? tls : undefined,
    clientPrefix: options.take('client_prefix'),
    maxPacketSize: options.takeInteger('max_packet_size'),
    protocolVersion: options.take('protocol_version'),
    keepAliveSecs: options.takeInteger('keep_alive_secs'),
    sessionExpirySecs: options.takeInteger('session_expiry_secs'),
  });
}

const present = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
