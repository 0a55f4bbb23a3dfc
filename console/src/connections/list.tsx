import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function ConnectionsPage(): ReactNode {
  return <Page title="Connections">…</Page>;
}
