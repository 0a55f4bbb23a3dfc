import { Tabs, Text } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useMay } from '../api/caller.tsx';
import { Page } from '../parts/parts.tsx';
import { ApplyBundle } from './apply-bundle.tsx';
import { ExportBundle } from './export-bundle.tsx';

/** Profiles, tables and pipelines as one text: applied all or nothing, and exported. */
export function BundlesPage(): ReactNode {
  const may = useMay('operator');
  const { tab } = useSearch({ from: '/bundles' });
  const navigate = useNavigate({ from: '/bundles' });
  const shown = may && tab !== 'export' ? 'apply' : 'export';
  return (
    <Page title="Bundles">
      <Text size="sm" c="dimmed" maw="80ch">
        A bundle holds connection profiles, tables and pipelines in one text. Keep it in a repository.
        Applying it makes all changes or none, and applying it again changes nothing.
      </Text>
      <Tabs
        value={shown}
        onChange={(next) => void navigate({ search: next === 'export' ? { tab: next } : {} })}
      >
        <Tabs.List mb="md">
          {may && <Tabs.Tab value="apply">Apply</Tabs.Tab>}
          <Tabs.Tab value="export">Export</Tabs.Tab>
        </Tabs.List>
        {may && (
          <Tabs.Panel value="apply">
            <ApplyBundle />
          </Tabs.Panel>
        )}
        <Tabs.Panel value="export">
          <ExportBundle />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
