import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function NewTablePage(): ReactNode {
  return <Page title="New table">…</Page>;
}
