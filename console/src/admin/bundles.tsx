import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function BundlesPage(): ReactNode {
  return <Page title="Bundles">…</Page>;
}
