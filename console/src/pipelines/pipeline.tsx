import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function PipelinePage(): ReactNode {
  return <Page title="Pipeline">…</Page>;
}
