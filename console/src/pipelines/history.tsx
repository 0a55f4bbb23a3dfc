import type { ReactNode } from 'react';
import type { Pipeline } from '../api/client.ts';

export function HistoryTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  return <p>{pipeline.name}</p>;
}
