import type { WatchContext } from '../../connector.ts';
import { type Incoming, watchAll } from '../../network/queue-source.ts';
import type { RedisProfile } from '../config/profile.ts';
import { entryShape, type RedisTable, type SourceTable, sourceOf } from '../config/table.ts';
import { type Connection, onConnection } from '../connection/client.ts';
import { Nodes } from '../connection/cluster.ts';
import { metadataOf, payloadMaker, readStream } from '../connection/entries.ts';
import { streamInfo } from '../connection/stream-info.ts';

const blockMs = 1_000;
const maxRead = 100;

/** Shows entries without a group, from where a new group would begin. See `watch` in the connector contract. */
export async function watch(context: WatchContext<RedisProfile, RedisTable>): Promise<never> {
  const { signal, table } = context;
  const { stream } = sourceOf(table) as SourceTable;
  const nodes = await Nodes.open(context, signal);
  const abort = () => nodes.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const connection = await nodes.of(stream);
    return await onConnection(connection, signal, () => watchAll(context, entries(context, connection)));
  } finally {
    signal.removeEventListener('abort', abort);
    nodes.destroy();
    await nodes.close();
  }
}

async function* entries(
  { table, schema, listening, signal }: WatchContext<RedisProfile, RedisTable>,
  connection: Connection,
): AsyncGenerator<Incoming> {
  const { stream, start } = sourceOf(table) as SourceTable;
  const payloadOf = payloadMaker(entryShape(table), schema);
  const found = await streamInfo(connection, stream);
  let from = start === 'earliest' ? '0-0' : (found?.lastId ?? '0-0');
  listening();
  while (!signal.aborted) {
    const reply = await connection.send(
      ['XREAD', 'COUNT', maxRead, 'BLOCK', blockMs, 'STREAMS', stream, from],
      { binary: true, blockMs },
    );
    for (const entry of readStream(reply)) {
      from = entry.id;
      const payload = payloadOf(entry.fields ?? []) ?? Buffer.alloc(0);
      yield { payload, metadata: metadataOf(entry, stream, false) };
    }
  }
}
