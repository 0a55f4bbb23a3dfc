import type { WatchContext } from '../../connector.ts';
import { untilReported } from '../../network/deadline.ts';
import type { KafkaProfile } from '../config/profile.ts';
import { type KafkaTable, sourceOf } from '../config/table.ts';
import { Cluster } from '../connection/cluster.ts';
import { metadataOf, payloadOf } from '../connection/metadata.ts';
import { PartitionReader } from '../connection/reader.ts';

/** Number of the newest messages of each partition that are shown first. */
const newest = 10n;

/** Shows the newest messages, and those that come, without a group. See `watch` in the connector contract. */
export async function watch(context: WatchContext<KafkaProfile, KafkaTable>): Promise<never> {
  const { table, signal, listening, deliver } = context;
  const cluster = await Cluster.open(context, signal);
  const stop = new AbortController();
  try {
    const topic = await cluster.describe(table.topic);
    const committed = sourceOf(table).read_mode === 'read_committed';
    const all = [...topic.leaders.keys()];
    const first = await cluster.offsets(topic, all, 'earliest', committed);
    const end = await cluster.offsets(topic, all, 'latest', committed);
    const from = new Map<number, bigint>();
    for (const [partition, next] of end) {
      const oldest = first.get(partition) ?? next;
      from.set(partition, next - newest > oldest ? next - newest : oldest);
    }
    const reader = new PartitionReader({
      cluster,
      topic,
      from,
      committed,
      takes: () => true,
      warn: () => {},
      message: (message) =>
        deliver({
          payload: payloadOf(message),
          metadata: metadataOf(message),
          receivedAt: performance.timeOrigin + performance.now(),
        }),
    });
    listening();
    return await untilReported<never>(signal, (_resolve, reject) => {
      cluster.whenLost(reject);
      reader.run(stop.signal).catch(reject);
    });
  } finally {
    stop.abort(new Error('no longer watched'));
    await cluster.close();
  }
}
