import { Tabs } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { type ConnectionSchema, call } from '../api/client.ts';
import { Loaded, Page, Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { Describe } from './describe.tsx';
import { LiveTail } from './live-tail.tsx';

export function TablePage(): ReactNode {
  const { id } = useParams({ from: '/tables/$id' });
  const { tab = 'live' } = useSearch({ from: '/tables/$id' });
  const navigate = useNavigate({ from: '/tables/$id' });
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ['table', id],
    queryFn: () => call('getConnectionTable', { params: { id } }),
  });
  const save = useMutation({
    mutationFn: (schema: ConnectionSchema) =>
      call('patchConnectionTable', { params: { id }, body: { schema } }),
    onSuccess: () => client.invalidateQueries({ queryKey: ['table', id] }),
  });
  return (
    <Loaded query={query}>
      {(table) => (
        <Page title={<Name>{table.name}</Name>}>
          <Problem error={save.error} />
          <Tabs
            value={tab}
            onChange={(next) => void navigate({ search: next === null ? {} : { tab: next } })}
            keepMounted={false}
          >
            <Tabs.List mb="md">
              <Tabs.Tab value="live">Live messages</Tabs.Tab>
              <Tabs.Tab value="describe">Describe</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="live">
              <LiveTail table={table} />
            </Tabs.Panel>
            <Tabs.Panel value="describe">
              <Describe
                connector={table.connector}
                profileId={table.connection_profile_id}
                config={table.config}
                schema={table.schema}
                onSchema={save.mutate}
              />
            </Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}
