import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function WorkersPage(): ReactNode {
  return <Page title="Workers">…</Page>;
}
