import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function KeysPage(): ReactNode {
  return <Page title="API keys">…</Page>;
}
