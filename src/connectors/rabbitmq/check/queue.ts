import { randomBytes } from 'node:crypto';
import type { Finding } from '../../network/check-steps.ts';
import { forUpTo, untilReported } from '../../network/deadline.ts';
import { wrongKind } from '../config/errors.ts';
import { argumentsOf, kindOf } from '../connection/arguments.ts';
import type { Connection } from '../connection/client.ts';

/** Looks at queues and streams without changing anything. */

/** How long a test waits for a message of a stream. */
const messageMs = 3_000;

/** Whether the queue exists and is of the wanted kind, and whether it loses messages that come back too often. */
export async function findQueue(
  connection: Connection,
  queue: string,
  wantsStream: boolean | undefined,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const channel = await connection.channel(signal);
  const { messageCount: messages, consumerCount: consumers } = await channel.until(
    channel.raw.checkQueue(queue),
    signal,
  );
  await channel.close();
  const found = await argumentsOf(connection, queue, signal);
  const kind = found === undefined ? 'queue' : kindOf(found);
  if (found && wantsStream !== undefined && wantsStream !== (kind === 'stream'))
    throw wrongKind(queue, !wantsStream);
  const finding: Finding<true> = {
    value: true,
    message: `${queue} is a ${kind === 'queue' || kind === 'stream' ? kind : `${kind} queue`} with ${messages} messages`,
    details: { queue, kind, messages, consumers, arguments: found ?? null },
  };
  return kind === 'quorum' && wantsStream === false
    ? { ...finding, ...limitOf(connection, found ?? {}) }
    : finding;
}

/** A quorum queue that has no place for messages which came back too often. */
function limitOf(connection: Connection, found: Record<string, unknown>): Partial<Finding<true>> {
  const own = found['x-delivery-limit'];
  const major = Number.parseInt(connection.server.version, 10);
  const limit = typeof own === 'number' ? own : major >= 4 ? 20 : undefined;
  if (limit === undefined || limit < 0 || found['x-dead-letter-exchange'] !== undefined) return {};
  return {
    code: 'rabbitmq_delivery_limit',
    message: `The quorum queue drops a message that came back more than ${limit} times`,
    hint: 'Set a dead letter exchange, or raise x-delivery-limit. Each lost connection of a job counts. A policy is not seen here.',
  };
}

/** One of the last messages of a stream, which stays there for others. */
export async function sampleOf(
  connection: Connection,
  stream: string,
  signal: AbortSignal,
): Promise<Finding<Buffer | undefined>> {
  const channel = await connection.channel(signal);
  await channel.until(channel.raw.prefetch(1), signal);
  const sample = await forUpTo(messageMs, signal, (soon) =>
    untilReported<Buffer>(soon, (resolve, reject) => {
      channel.raw
        .consume(stream, (message) => message && resolve(message.content), {
          arguments: { 'x-stream-offset': 'last' },
        })
        .catch(reject);
      return undefined;
    }),
  );
  await channel.close();
  return sample
    ? { value: sample, message: `A message of ${sample.length} bytes` }
    : { value: undefined, message: `No message came within ${messageMs / 1000} s, which need not be wrong` };
}

/** Publishes a message to a queue that does not exist: it comes back, and shows that the user may write. */
export async function tryToPublish(connection: Connection, signal: AbortSignal): Promise<Finding<true>> {
  const channel = await connection.confirmChannel(signal);
  const { raw } = channel;
  const key = `penstock-test-${randomBytes(8).toString('hex')}`;
  const closed = new Promise<never>((_, reject) => {
    raw.on('error', reject);
  });
  raw.publish('', key, Buffer.alloc(0), { mandatory: true, persistent: false });
  await channel.until(Promise.race([raw.waitForConfirms(), closed]), signal);
  await channel.close();
  return { value: true, message: 'The user may publish; the message was for no queue' };
}
