import {
  type Connection,
  ResponseError,
  saslAuthenticateV1,
  saslAuthenticateV2,
  saslHandshakeV1,
  saslOAuthBearer,
  saslPlain,
  saslScramSha,
} from '@platformatic/kafka';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { within } from '../../network/deadline.ts';
import { connectTcp, type Endpoint, resolveHost, startTls } from '../../network/dial.ts';
import { kafkaError } from '../config/errors.ts';
import { addressOf, connectTimeoutMs, type KafkaProfile, saslOf, tlsOf } from '../config/profile.ts';
import { Broker } from './broker.ts';
import { errorNamed } from './replies.ts';

/** Connects to one broker and logs in. Throws `PenstockError` only, or the reason of the signal. */
export async function openBroker(
  endpoint: Endpoint,
  { profile, targets }: Reachable<KafkaProfile>,
  signal: AbortSignal,
): Promise<Broker> {
  const ms = connectTimeoutMs(profile);
  const late = () =>
    new PenstockError(
      'connection_timeout',
      `The broker ${addressOf(endpoint)} did not let Penstock log in within ${ms} ms`,
      {
        hint: 'Check the address and port, whether a firewall blocks the connection, and whether the broker hangs.',
      },
    );
  return within(ms, signal, late, async (inner) => {
    const addresses = await resolveHost(endpoint.host, targets, inner);
    const plain = await connectTcp(endpoint, addresses, inner);
    const socket = endpoint.tls ? await startTls(plain, endpoint, tlsOf(profile), inner) : plain;
    return beginOn(new Broker(socket, endpoint, profile), inner, async (broker) => {
      await broker.askVersions();
      await logIn(broker, profile);
    });
  });
}

/** Runs `work` on a connection that ends when the signal aborts or the work fails. */
export async function beginOn(
  broker: Broker,
  signal: AbortSignal,
  work: (broker: Broker) => Promise<unknown>,
): Promise<Broker> {
  const abort = () => broker.destroy(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await work(broker);
    signal.throwIfAborted();
    return broker;
  } catch (error) {
    broker.destroy(error);
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Logs in if the profile has SASL. */
export async function logIn(broker: Broker, profile: KafkaProfile): Promise<void> {
  const sasl = saslOf(profile);
  if (!sasl) return;
  const { mechanism, username, password } = sasl;
  const handshake = await broker.call(saslHandshakeV1.api, mechanism);
  if (handshake.errorCode !== 0) {
    const offered = handshake.mechanisms.join(', ').slice(0, 200);
    throw kafkaError(
      'kafka_login_refused',
      offered === ''
        ? `The listener ${broker.name} has no login by SASL`
        : `The listener ${broker.name} does not offer ${mechanism}, but ${offered}`,
      {
        hint:
          offered === ''
            ? 'Set authentication to none, or use the listener with SASL.'
            : 'Set authentication.mechanism to one of these.',
        facts: { mechanisms: handshake.mechanisms, error: errorNamed(handshake.errorCode) },
      },
    );
  }
  const authenticate = broker.choose([saslAuthenticateV2.api, saslAuthenticateV1.api], 'SASL');
  const connection = broker as unknown as Connection;
  try {
    const response = await (mechanism === 'PLAIN'
      ? saslPlain.authenticate(authenticate, connection, username, password)
      : mechanism === 'OAUTHBEARER'
        ? saslOAuthBearer.authenticate(authenticate, connection, password, {})
        : saslScramSha.authenticate(
            authenticate,
            connection,
            mechanism === 'SCRAM-SHA-256' ? 'SHA-256' : 'SHA-512',
            username,
            password,
          ));
    // A refused token comes back as a challenge.
    const text = mechanism === 'OAUTHBEARER' ? String(response.authBytes ?? '') : '';
    if (text !== '') throw refusedLogin(broker, mechanism, text);
  } catch (error) {
    throw loginError(broker, error, mechanism);
  }
}

function loginError(broker: Broker, error: unknown, mechanism: string): PenstockError {
  if (broker.failure) return broker.failure;
  if (error instanceof PenstockError) return error;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof PenstockError) return at;
    if (!(at instanceof ResponseError)) continue;
    const { errorMessage } = at.response as { errorMessage?: string | null };
    return refusedLogin(broker, mechanism, errorMessage ?? '');
  }
  return refusedLogin(broker, mechanism, error instanceof Error ? error.message : '', error);
}

/** Whether a broker has refused the user or the password, and not only the mechanism. */
export const refusesUser = (error: unknown): boolean =>
  error instanceof PenstockError && error.code === 'kafka_login_refused' && 'mechanism' in error.facts;

function refusedLogin(broker: Broker, mechanism: string, text: string, cause?: unknown): PenstockError {
  const reason = text === '' ? '' : `: ${text.slice(0, 200)}`;
  return kafkaError(
    'kafka_login_refused',
    `The broker ${broker.name} refuses the login by ${mechanism}${reason}`,
    {
      hint:
        mechanism === 'PLAIN'
          ? 'Check the user and the password, and that the broker lists the user in sasl.jaas.config of this listener.'
          : mechanism === 'OAUTHBEARER'
            ? 'Check that the token is valid, has not expired, and is for this cluster.'
            : `Check the user and the password. Brokers keep them for each mechanism: kafka-configs.sh --alter --add-config '${mechanism}=[password=…]' --entity-type users --entity-name …`,
      facts: { mechanism },
      cause,
    },
  );
}
