import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function NewPipelinePage(): ReactNode {
  return <Page title="New pipeline">…</Page>;
}
