import { Anchor, Badge, Button, Table } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { Can } from '../api/caller.tsx';
import { type ConnectionTable, call } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { NextPage } from '../parts/buttons.tsx';
import { ConnectorName } from '../parts/connectors.tsx';
import { count } from '../parts/format.ts';
import { Empty, Labels, Loaded, Page, Time } from '../parts/parts.tsx';
import { Search } from '../parts/search.tsx';
import { Name } from '../parts/text.tsx';

const pageSize = 50;

export function TablesPage(): ReactNode {
  const { search } = useSearch({ from: '/tables' });
  const navigate = useNavigate({ from: '/tables' });
  const query = useInfiniteQuery({
    queryKey: ['connection_tables', search],
    queryFn: ({ pageParam: after }) =>
      call('listConnectionTables', {
        query: { limit: pageSize, ...(search && { search }), ...(after && { starting_after: after }) },
      }),
    initialPageParam: '',
    getNextPageParam: ({ data, hasMore }) => (hasMore ? data.at(-1)?.id : undefined),
    placeholderData: keepPreviousData,
  });
  const path = `/api/v1/connection_tables?limit=${pageSize}${search ? `&search=${encodeURIComponent(search)}` : ''}`;
  return (
    <Page
      title="Tables"
      actions={
        <>
          <Automate calls={[{ title: 'List the tables', method: 'GET', path }]} />
          <Can role="operator">
            <Button component={Link} to="/tables/new" leftSection={<IconPlus size={16} />}>
              New table
            </Button>
          </Can>
        </>
      }
    >
      <Search
        label="Search tables"
        value={search ?? ''}
        onSearch={(text) => void navigate({ search: text ? { search: text } : {}, replace: true })}
      />
      <Loaded query={query}>
        {({ pages }) => {
          const tables = pages.flatMap(({ data }) => data);
          return tables.length === 0 ? <None searched={search !== undefined} /> : <Tables tables={tables} />;
        }}
      </Loaded>
      <NextPage query={query}>Show more</NextPage>
    </Page>
  );
}

const None = ({ searched }: { searched: boolean }): ReactNode =>
  searched ? (
    <Empty>No table has these words in its name, its labels, its connector or its topic.</Empty>
  ) : (
    <Empty>
      No tables yet. A table says what to read or write, and how messages become rows. Make a connection
      first, then a source table, and let it propose a schema from live messages.
    </Empty>
  );

function Tables({ tables }: { tables: readonly ConnectionTable[] }): ReactNode {
  return (
    <Table.ScrollContainer minWidth={860}>
      <Table highlightOnHover aria-label="Tables">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th>Direction</Table.Th>
            <Table.Th>Connector</Table.Th>
            <Table.Th>Connection</Table.Th>
            <Table.Th>Labels</Table.Th>
            <Table.Th>Used by</Table.Th>
            <Table.Th>Created</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {tables.map((table) => (
            <Row key={table.id} table={table} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Row({ table }: { table: ConnectionTable }): ReactNode {
  const { id, name, table_type, connector, connection_profile: profile, labels, consumers } = table;
  return (
    <Table.Tr>
      <Table.Td>
        <Anchor component={Link} to="/tables/$id" params={{ id } as never} size="sm" fw={500}>
          <Name>{name}</Name>
        </Anchor>
      </Table.Td>
      <Table.Td>
        <Badge variant="default">{table_type}</Badge>
      </Table.Td>
      <Table.Td>
        <ConnectorName connector={connector} />
      </Table.Td>
      <Table.Td>
        {profile ? (
          <Anchor component={Link} to="/connections/$id" params={{ id: profile.id } as never} size="sm">
            <Name>{profile.name}</Name>
          </Anchor>
        ) : (
          '–'
        )}
      </Table.Td>
      <Table.Td>
        <Labels labels={labels} />
      </Table.Td>
      <Table.Td>{consumers === 1 ? '1 pipeline' : `${count(consumers)} pipelines`}</Table.Td>
      <Table.Td>
        <Time micros={table.created_at} />
      </Table.Td>
    </Table.Tr>
  );
}
