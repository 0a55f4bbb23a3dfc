import { Badge, Card, Group, SimpleGrid, Text, UnstyledButton, useComputedColorScheme } from '@mantine/core';
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { type Connector, type ConnectorDetail, call, unchanging } from '../api/client.ts';

/** Connectors: their pictures, a choice of them, and their schemas. */

export const useConnectors = (): UseQueryResult<Connector[]> =>
  useQuery({
    ...unchanging,
    queryKey: ['connectors'],
    queryFn: async () => (await call('listConnectors', {})).data.filter(({ hidden }) => !hidden),
  });

export const useConnector = (id: string): UseQueryResult<ConnectorDetail> =>
  useQuery({
    ...unchanging,
    queryKey: ['connector', id],
    queryFn: () => call('getConnector', { params: { id } }),
  });

/** The icon as a picture: an SVG that is an image runs no scripts. */
export function ConnectorIcon({ connector, size = 20 }: { connector: string; size?: number }): ReactNode {
  const { data } = useConnectors();
  const dark = useComputedColorScheme('light') === 'dark';
  const icon = data?.find(({ id }) => id === connector)?.icon;
  if (icon === undefined) return null;
  return (
    <img
      src={`data:image/svg+xml,${encodeURIComponent(icon)}`}
      alt=""
      width={size}
      height={size}
      style={dark ? { filter: 'invert(1) hue-rotate(180deg)' } : {}}
    />
  );
}

/** A connector by its icon and name. */
export function ConnectorName({ connector }: { connector: string }): ReactNode {
  const { data } = useConnectors();
  return (
    <Group gap={6} wrap="nowrap">
      <ConnectorIcon connector={connector} />
      <Text size="sm" component="span">
        {data?.find(({ id }) => id === connector)?.name ?? connector}
      </Text>
    </Group>
  );
}

export function ConnectorCards({ connectors, onChoose }: ConnectorCardsProps): ReactNode {
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 3, lg: 4 }} spacing="sm">
      {connectors.map(({ id, name, description, source, sink }) => (
        <UnstyledButton key={id} onClick={() => onChoose(id)}>
          <Card withBorder padding="sm" h="100%">
            <Group gap="xs" mb={4} wrap="nowrap">
              <ConnectorIcon connector={id} size={24} />
              <Text fw={600} size="sm">
                {name}
              </Text>
            </Group>
            <Text size="xs" c="dimmed" mb="xs">
              {description}
            </Text>
            <Group gap={4} mt="auto">
              {source && <Badge variant="default">source</Badge>}
              {sink && <Badge variant="default">sink</Badge>}
            </Group>
          </Card>
        </UnstyledButton>
      ))}
    </SimpleGrid>
  );
}
interface ConnectorCardsProps {
  connectors: readonly Connector[];
  onChoose(id: string): void;
}
