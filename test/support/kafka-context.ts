import type { RunContext, Source } from '../../src/connectors/connector.ts';
import type { KafkaProfile } from '../../src/connectors/kafka/config/profile.ts';
import type { KafkaTable } from '../../src/connectors/kafka/config/table.ts';
import { kafka } from '../../src/connectors/kafka/index.ts';
import type { Field } from '../../src/formats/schema/schema.ts';
import { runContext } from './connector-conformance/subject.ts';

export type KafkaContext = RunContext<KafkaProfile, KafkaTable>;

let made = 0;

/** A context of the connector with an identity of its own. */
export function kafkaContext(profile: KafkaProfile, table: KafkaTable, fields: Field[] = []): KafkaContext {
  made += 1;
  const identity = { jobId: `job_${process.pid}_${made}`, operatorId: 'op', taskIndex: 0 };
  return { ...(runContext(table) as KafkaContext), profile, table, identity, schema: { fields } };
}

export const sourceTable = (topic: string, more: object = {}): KafkaTable => ({
  topic,
  type: { offset: 'earliest', ...more },
});

export const sinkTable = (topic: string, more: object = {}): KafkaTable => ({
  topic,
  type: { commit_mode: 'at_least_once', ...more },
});

/**
 * Messages that transactions have committed to a topic, until a message is the last one. The consumer of the library takes messages of aborted
 * transactions too, if a producer has aborted two of those that it fetches together.
 */
export async function readCommitted(
  profile: KafkaProfile,
  topic: string,
  isLast: (text: string) => boolean,
): Promise<string[]> {
  const context = kafkaContext(profile, sourceTable(topic, { read_mode: 'read_committed' }));
  const source = (await kafka.openSource?.({ ...context, window: 10_000 })) as Source;
  const found: string[] = [];
  try {
    for await (const deliveries of source)
      for (const { payload, ack } of deliveries) {
        found.push(String(payload));
        if (isLast(String(payload))) return found;
        ack();
      }
    return found;
  } finally {
    await source.close();
  }
}
