import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function PipelinesPage(): ReactNode {
  return <Page title="Pipelines">…</Page>;
}
