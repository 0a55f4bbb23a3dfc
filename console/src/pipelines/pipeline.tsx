import { Group, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { call } from '../api/client.ts';
import { count } from '../parts/format.ts';
import { Loaded, Page } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { Actions } from './actions.tsx';
import { DeadLettersTab } from './dead-letters.tsx';
import { HistoryTab } from './history.tsx';
import { useLetterCount } from './letter-filter.tsx';
import { QueryTab } from './query.tsx';
import { WatchTab } from './watch.tsx';

/** A pipeline: what it does now, its query, its dead letters, its history. */

const tabs = [
  ['watch', 'Now'],
  ['query', 'Query'],
  ['dead-letters', 'Dead letters'],
  ['history', 'History'],
] as const;

function LetterCount({ pipelineId }: { pipelineId: string }): ReactNode {
  const total = useLetterCount(pipelineId) ?? 0;
  return (
    total > 0 && (
      <Text span inherit c="red" fw={600} ml={6}>
        {count(total)}
      </Text>
    )
  );
}

export function PipelinePage(): ReactNode {
  const { id } = useParams({ from: '/pipelines/$id' });
  const { tab = 'watch' } = useSearch({ from: '/pipelines/$id' });
  const navigate = useNavigate({ from: '/pipelines/$id' });
  const query = useQuery({
    queryKey: ['pipeline', id],
    queryFn: () => call('getPipeline', { params: { id } }),
  });
  return (
    <Loaded query={query} page="Pipeline">
      {(pipeline) => (
        <Page
          title={<Name>{pipeline.name}</Name>}
          name={pipeline.name}
          actions={
            <Group gap="xs">
              <Actions pipeline={pipeline} />
            </Group>
          }
        >
          <Tabs
            value={tab}
            onChange={(next) => void navigate({ search: next === null ? {} : { tab: next } })}
            keepMounted={false}
          >
            <Tabs.List mb="md">
              {tabs.map(([value, text]) => (
                <Tabs.Tab key={value} value={value}>
                  {text}
                  {value === 'dead-letters' && <LetterCount pipelineId={id} />}
                </Tabs.Tab>
              ))}
            </Tabs.List>
            <Tabs.Panel value="watch">
              <WatchTab pipeline={pipeline} />
            </Tabs.Panel>
            <Tabs.Panel value="query">
              <QueryTab pipeline={pipeline} />
            </Tabs.Panel>
            <Tabs.Panel value="dead-letters">
              <DeadLettersTab pipeline={pipeline} />
            </Tabs.Panel>
            <Tabs.Panel value="history">
              <HistoryTab pipeline={pipeline} />
            </Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}
