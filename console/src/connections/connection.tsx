import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function ConnectionPage(): ReactNode {
  return <Page title="Connection">…</Page>;
}
