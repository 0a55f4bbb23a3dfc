import { coreErrors, type ErrorKind, PenstockError } from '../errors.ts';
import { blackhole, preview } from './blackhole/index.ts';
import type { ConnectorDefinition } from './connector.ts';
import { filesystem } from './filesystem/index.ts';
import { impulse } from './impulse/index.ts';
import { mqtt } from './mqtt/index.ts';
import { pollingHttp } from './polling_http/index.ts';
import { postgres } from './postgres/index.ts';
import { singleFile } from './single_file/index.ts';
import { sse } from './sse/index.ts';
import { stdout } from './stdout/index.ts';
import { webhook } from './webhook/index.ts';
import { websocket } from './websocket/index.ts';

export const connectors: readonly ConnectorDefinition[] = [
  mqtt,
  postgres,
  filesystem,
  singleFile,
  webhook,
  pollingHttp,
  sse,
  websocket,
  blackhole,
  impulse,
  stdout,
  preview,
];

/** Every error code there is: those of the core, then those of the connectors. */
export const errorCatalog: Readonly<Record<string, ErrorKind>> = Object.assign(
  {},
  coreErrors,
  ...connectors.map(({ errors }) => errors),
);

/** Throws `unknown_connector`. */
export function connectorFor(id: string): ConnectorDefinition {
  const found = connectors.find((connector) => connector.id === id);
  if (found) return found;
  const shown = connectors.filter(({ hidden }) => !hidden);
  const ids = shown.map((connector) => connector.id).join(', ');
  throw new PenstockError('unknown_connector', `There is no connector called ${JSON.stringify(id)}`, {
    hint: `Use one of: ${ids}.`,
    errors: [{ path: '/connector', message: `must be one of ${ids}` }],
  });
}
