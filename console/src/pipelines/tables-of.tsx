import { Anchor, Group, Text } from '@mantine/core';
import { useQueries } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Fragment, type ReactNode } from 'react';
import { call, type Pipeline } from '../api/client.ts';
import { count } from '../parts/format.ts';
import { Name } from '../parts/text.tsx';

/** The tables of a pipeline, with links to those that are stored. */

const maxShown = 12;

const namesOf = ({ graph }: Pipeline, role: 'source' | 'sink'): string[] => {
  const end = ` (${role})`;
  const all = graph.nodes.map(({ description }) => description).filter((text) => text.endsWith(end));
  return [...new Set(all.map((text) => text.slice(0, -end.length)))];
};

export function TablesOf({ pipeline }: { pipeline: Pipeline }): ReactNode {
  return (
    <Group gap="md" role="group" aria-label="Tables">
      <Tables text="Reads" names={namesOf(pipeline, 'source')} />
      <Tables text="Writes" names={namesOf(pipeline, 'sink')} />
    </Group>
  );
}

function Tables({ text, names }: { text: string; names: readonly string[] }): ReactNode {
  const shown = names.slice(0, maxShown);
  // A table that the query itself creates is not stored.
  const found = useQueries({
    queries: shown.map((name) => ({
      queryKey: ['connection_tables', 'by-name', name],
      queryFn: () => call('getConnectionTableByName', { params: { name } }),
      refetchInterval: false as const,
    })),
  });
  if (names.length === 0) return null;
  return (
    <Text size="sm">
      {text}{' '}
      {shown.map((name, at) => {
        const id = found[at]?.data?.id;
        return (
          <Fragment key={name}>
            {at > 0 && ', '}
            {id === undefined ? (
              <Name>{name}</Name>
            ) : (
              <Anchor component={Link} to="/tables/$id" params={{ id } as never} inherit underline="always">
                <Name>{name}</Name>
              </Anchor>
            )}
          </Fragment>
        );
      })}
      {names.length > maxShown && ` and ${count(names.length - maxShown)} more`}
    </Text>
  );
}
