import type { ConnectorDefinition, Delivery, Position } from '../../src/connectors/connector.ts';
import { atEnd } from './at-end.ts';
import type { AnyContext } from './connector-conformance/subject.ts';

/** A position as the runtime keeps it, without its delay. */
export class KeptPosition implements Position {
  stored: unknown;

  commit(position: unknown): void {
    this.stored = structuredClone(position);
  }
}

/** Opens a source and collects what it reads; acknowledges it at once. It closes by itself: see `atEnd`. */
export async function reading(connector: Pick<ConnectorDefinition, 'openSource'>, context: AnyContext) {
  const source = await connector.openSource?.(context);
  if (!source) throw new Error('The connector has no source');
  atEnd(() => source.close());
  const deliveries: Delivery[] = [];
  const end = (async () => {
    for await (const batch of source) {
      deliveries.push(...batch);
      for (const delivery of batch) delivery.ack();
    }
  })().then(
    () => undefined,
    (error: unknown) => error,
  );
  return { source, deliveries, end };
}
