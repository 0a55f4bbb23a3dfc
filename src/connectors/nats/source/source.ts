import { randomBytes } from 'node:crypto';
import type { Source } from '../../connector.ts';
import { connectionName, consumerName } from '../config/session.ts';
import { jetStreamSourceOf, sourceOf } from '../config/table.ts';
import { type Connection, connect } from '../connection/client.ts';
import { JetStream } from '../connection/jetstream.ts';
import { openCoreSource } from './core-source.ts';
import { openStreamSource, type SourceContext } from './stream-source.ts';

/** See `openSource` in the connector contract. */
export async function openSource(context: SourceContext): Promise<Source> {
  const { table, identity, signal } = context;
  const connection = await connect(context, connectionName(identity), signal);
  try {
    const source = sourceOf(table);
    if (source === undefined) throw new Error('the table is a sink');
    return 'stream' in source
      ? await openStreamSource(context, source, connection)
      : await openCoreSource(context, source, connection);
  } catch (error) {
    await connection.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * Removes the consumer of a source from its stream. The tasks of a source share it, so that only the first one removes it. See
 * `forget` in the connector contract.
 */
export async function forget({
  profile,
  targets,
  table,
  identity,
  signal,
}: Omit<SourceContext, 'schema' | 'window' | 'warn'>): Promise<void> {
  const source = jetStreamSourceOf(table);
  if (!source || identity.taskIndex > 0) return;
  await withConnection({ profile, targets }, connectionName(identity), signal, async (connection) => {
    const jetStream = await JetStream.of(connection, profile, signal);
    await jetStream.removeConsumer(source.stream, consumerName(identity));
  });
}

/**
 * Whether two profiles lead to the same account: a message that is published over one connection arrives over the other. See
 * `isSameSession` in the connector contract.
 */
export async function isSameSession(
  now: Pick<SourceContext, 'profile' | 'targets'>,
  former: Pick<SourceContext, 'profile' | 'targets'>,
  identity: SourceContext['identity'],
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const name = connectionName(identity);
  return withConnection(now, name, signal, async (first) => {
    const inbox = `${first.inboxPrefix}.${name}.${randomBytes(8).toString('hex')}`;
    let arrived = false;
    let forbidden = false;
    first.nc.subscribe(inbox, {
      callback: (error) => {
        if (error) forbidden = true;
        else arrived = true;
      },
    });
    await first.settle(signal);
    try {
      await withConnection(former, name, signal, async (second) => {
        second.onError(() => {
          forbidden = true;
        });
        second.nc.publish(inbox);
        await second.settle(signal);
      });
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
    // Between the servers of a cluster it takes a moment.
    const deadline = performance.now() + 1_000;
    while (!arrived && !forbidden && performance.now() < deadline) await first.settle(signal);
    return forbidden ? undefined : arrived;
  });
}

async function withConnection<T>(
  reachable: Pick<SourceContext, 'profile' | 'targets'>,
  name: string,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(reachable, name, signal);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}
