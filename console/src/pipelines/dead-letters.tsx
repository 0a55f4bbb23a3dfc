import type { ReactNode } from 'react';
import type { Pipeline } from '../api/client.ts';

export function DeadLettersTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  return <p>{pipeline.name}</p>;
}
