import { PenstockError } from '../errors.ts';
import { blackhole, preview } from './blackhole/index.ts';
import { confluent } from './confluent/index.ts';
import type { ConnectorDefinition } from './connector.ts';
import { filesystem } from './filesystem/index.ts';
import { impulse } from './impulse/index.ts';
import { kafka } from './kafka/index.ts';
import { mqtt } from './mqtt/index.ts';
import { nats } from './nats/index.ts';
import { pollingHttp } from './polling_http/index.ts';
import { postgres } from './postgres/index.ts';
import { rabbitmq } from './rabbitmq/index.ts';
import { redis } from './redis/index.ts';
import { singleFile } from './single_file/index.ts';
import { sse } from './sse/index.ts';
import { stdout } from './stdout/index.ts';
import { webhook } from './webhook/index.ts';
import { websocket } from './websocket/index.ts';

/** Connectors by id. In the built service each is a file of its own, loaded when it is first used (`scripts/package.ts`). */
const byId: Readonly<Record<string, () => ConnectorDefinition>> = {
  mqtt: () => mqtt,
  kafka: () => kafka,
  confluent: () => confluent,
  nats: () => nats,
  rabbitmq: () => rabbitmq,
  postgres: () => postgres,
  redis: () => redis,
  filesystem: () => filesystem,
  single_file: () => singleFile,
  webhook: () => webhook,
  polling_http: () => pollingHttp,
  sse: () => sse,
  websocket: () => websocket,
  blackhole: () => blackhole,
  impulse: () => impulse,
  stdout: () => stdout,
  preview: () => preview,
};

/** Loads all connectors. A worker thread needs few of them. */
export const allConnectors = (): ConnectorDefinition[] => Object.values(byId).map((load) => load());

/** Throws `unknown_connector`. */
export function connectorFor(id: string): ConnectorDefinition {
  const load = Object.hasOwn(byId, id) ? byId[id] : undefined;
  if (load) return load();
  const shown = allConnectors().filter(({ hidden }) => !hidden);
  const ids = shown.map((connector) => connector.id).join(', ');
  throw new PenstockError('unknown_connector', `There is no connector called ${JSON.stringify(id)}`, {
    hint: `Use one of: ${ids}.`,
    errors: [{ path: '/connector', message: `must be one of ${ids}` }],
  });
}
