import type { Targets } from '../connectors/connector.ts';
import { connectorFor } from '../connectors/registry.ts';
import { parseExactly } from '../formats/json/text.ts';
import type { Endpoint, TaskSpec } from './task-spec.ts';

/**
 * A task as text. A plan may hold numbers that JavaScript cannot, kept as they are written (`RawNumber`): structured
 * cloning refuses those, JSON carries them. Connectors go by their ids. It holds secrets: keep it in memory.
 */
export const writeSpec = (spec: TaskSpec): string => JSON.stringify(plain(spec));

/** Reads what `writeSpec` wrote; `targets` are what both ends may reach. Throws `unknown_connector`. */
export function readSpec(text: string, targets: Targets): TaskSpec {
  const { source, sink, ...rest } = parseExactly(text) as ReturnType<typeof plain>;
  const usable = (end: ReturnType<typeof named>): Endpoint => ({
    ...end,
    connector: connectorFor(end.connector),
    targets,
  });
  return { ...rest, source: usable(source), sink: usable(sink) };
}

const named = ({ connector, profile, config, operatorId }: Endpoint) => ({
  connector: connector.id,
  profile,
  config,
  operatorId,
});

const plain = ({ source, sink, ...rest }: TaskSpec) => ({
  ...rest,
  source: named(source),
  sink: named(sink),
});
