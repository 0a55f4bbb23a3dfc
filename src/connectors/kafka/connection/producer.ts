import { initProducerIdV2, initProducerIdV3, initProducerIdV4 } from '@platformatic/kafka';
import { aclHint, type Cluster } from './cluster.ts';

export interface Producer {
  id: bigint;
  epoch: number;
}

/** An identity with which brokers recognise a batch that comes twice. */
export async function newProducer(cluster: Cluster, topic: string): Promise<Producer> {
  const { bootstrap } = cluster;
  const api = bootstrap.choose(
    [initProducerIdV4.api, initProducerIdV3.api, initProducerIdV2.api],
    'InitProducerId',
  );
  return cluster.settled(
    async () => {
      const { errorCode, producerId, producerEpoch } = await bootstrap.call(api, null, 60_000, -1n, -1);
      return { code: errorCode, value: { id: producerId, epoch: producerEpoch } };
    },
    'The brokers give no identity to an idempotent producer',
    `${aclHint(topic, 'Write')}. Before Kafka 2.8 it also needs --operation IdempotentWrite --cluster.`,
  );
}
