import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function TablePage(): ReactNode {
  return <Page title="Table">…</Page>;
}
