import type { ReactNode } from 'react';
import type { ConnectionSchema } from '../api/client.ts';

/** Proposes a schema from live messages of a source that may not be stored yet. */
export interface DescribeProps {
  connector: string;
  profileId: string | null;
  /** Config of the table, as far as it is filled in. */
  config: Record<string, unknown>;
  schema: ConnectionSchema | null;
  /** Called when the user takes over a proposed or edited schema. */
  onSchema(schema: ConnectionSchema): void;
}

export function Describe({ connector }: DescribeProps): ReactNode {
  return <p>{connector}</p>;
}
