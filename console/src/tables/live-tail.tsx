import type { ReactNode } from 'react';
import type { ConnectionTable } from '../api/client.ts';

export function LiveTail({ table }: { table: ConnectionTable }): ReactNode {
  return <p>{table.name}</p>;
}
