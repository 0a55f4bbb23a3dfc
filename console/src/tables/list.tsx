import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function TablesPage(): ReactNode {
  return <Page title="Tables">…</Page>;
}
