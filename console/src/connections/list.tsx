import { Anchor, Button, Group, Table, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { Can } from '../api/caller.tsx';
import { type ConnectionProfile, call } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { ConnectorName } from '../parts/connectors.tsx';
import { Empty, Labels, Loaded, Page } from '../parts/parts.tsx';
import { Search } from '../parts/search.tsx';
import { Name } from '../parts/text.tsx';

export function ConnectionsPage(): ReactNode {
  const { search } = useSearch({ from: '/connections' });
  const navigate = useNavigate({ from: '/connections' });
  const query = useQuery({
    queryKey: ['connection_profiles', search],
    queryFn: () => call('listConnectionProfiles', { query: search ? { search } : {} }),
    placeholderData: keepPreviousData,
  });
  const path = `/api/v1/connection_profiles${search ? `?search=${encodeURIComponent(search)}` : ''}`;
  return (
    <Page
      title="Connections"
      actions={
        <>
          <Automate calls={[{ title: 'List the connection profiles', method: 'GET', path }]} />
          <Can role="operator">
            <Button component={Link} to="/connections/new" leftSection={<IconPlus size={16} />}>
              New connection
            </Button>
          </Can>
        </>
      }
    >
      <Search
        label="Search connections"
        value={search ?? ''}
        onSearch={(text) => void navigate({ search: text ? { search: text } : {}, replace: true })}
      />
      <Loaded query={query}>
        {({ data }) =>
          data.length === 0 ? <None searched={search !== undefined} /> : <Profiles profiles={data} />
        }
      </Loaded>
    </Page>
  );
}

const None = ({ searched }: { searched: boolean }): ReactNode =>
  searched ? (
    <Empty>No connection has these words in its name, its labels or its address.</Empty>
  ) : (
    <Empty>
      No connections yet. A connection profile holds the address of a system and the login for it. Make one,
      test it, then make tables that use it.
    </Empty>
  );

function Profiles({ profiles }: { profiles: readonly ConnectionProfile[] }): ReactNode {
  return (
    <Table.ScrollContainer minWidth={640}>
      <Table highlightOnHover aria-label="Connections">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th>Connector</Table.Th>
            <Table.Th>Address</Table.Th>
            <Table.Th>Labels</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {profiles.map(({ id, name, connector, description, labels }) => (
            <Table.Tr key={id}>
              <Table.Td>
                <Anchor component={Link} to="/connections/$id" params={{ id } as never} size="sm" fw={500}>
                  <Name>{name}</Name>
                </Anchor>
              </Table.Td>
              <Table.Td>
                <ConnectorName connector={connector} />
              </Table.Td>
              <Table.Td>
                <Text size="sm" component="span">
                  <Name>{description}</Name>
                </Text>
              </Table.Td>
              <Table.Td>
                <Group gap={4}>
                  <Labels labels={labels} />
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
