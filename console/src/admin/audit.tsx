import { Badge, CloseButton, Select, SimpleGrid, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { Fragment, type ReactNode, useState } from 'react';
import { callText, type Operations, operations } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { Automate } from '../parts/automate.tsx';
import { NextPage, Unfold } from '../parts/buttons.tsx';
import { Empty, Loaded, Page, Time } from '../parts/parts.tsx';
import { LongText, Name, parseExact, prettyValue } from '../parts/text.tsx';
import { ObjectLink } from './pieces.tsx';
import { Compared } from './plan.tsx';

/** Who has changed what, and when. */

type Records = Operations['listAuditRecords']['answer'];
type AuditRecord = Records['data'][number];
type Query = Operations['listAuditRecords']['query'];

const written = Object.entries(operations)
  .filter(([, [method]]) => method !== 'GET')
  .map(([name]) => name)
  .sort();

const hours = { 'Last hour': 1, 'Last 24 hours': 24, 'Last 7 days': 168, 'Last 30 days': 720 };
type Span = keyof typeof hours;

const limit = 50;

export function AuditPage(): ReactNode {
  // The address of this page may name an object.
  const { search } = useSearch({ from: '/audit' });
  const [filter, setFilter] = useState<Query>(search === undefined ? {} : { object: search });
  const [settled] = useDebouncedValue(filter, 300);
  const query = useInfiniteQuery({
    queryKey: ['audit', settled],
    queryFn: async ({ pageParam }) => {
      const from = pageParam === undefined ? {} : { starting_after: pageParam };
      const asked = { query: { ...settled, limit, ...from } };
      return parseExact<Records>(await callText('listAuditRecords', asked, 'application/json'));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ data, hasMore }) => (hasMore ? data.at(-1)?.id : undefined),
    // Later pages would move while they are read.
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > 1 ? false : 10_000),
  });
  const path = `/api/v1/audit?${new URLSearchParams(Object.entries(settled).map(([name, value]) => [name, `${value}`]))}`;
  return (
    <Page
      title="Audit log"
      actions={<Automate calls={[{ title: 'List audit records', method: 'GET', path }]} />}
    >
      <Filters filter={filter} onFilter={setFilter} />
      <Loaded query={query}>
        {({ pages }) => (
          <Stack>
            <Records records={pages.flatMap(({ data }) => data)} />
            <NextPage query={query}>Show older records</NextPage>
          </Stack>
        )}
      </Loaded>
    </Page>
  );
}

function Filters({ filter, onFilter }: { filter: Query; onFilter(filter: Query): void }): ReactNode {
  const [span, setSpan] = useState<Span | null>(null);
  const set = (name: keyof Query, value: string | number | null): void => {
    const { [name]: _former, ...rest } = filter;
    onFilter(value === null || value === '' ? rest : { ...rest, [name]: value });
  };
  const input = (name: 'actor' | 'object', label: string, placeholder: string): ReactNode => (
    <TextInput
      label={label}
      placeholder={placeholder}
      value={filter[name] ?? ''}
      onChange={({ currentTarget }) => set(name, currentTarget.value.trim())}
      maxLength={100}
      rightSection={
        filter[name] && <CloseButton aria-label={`Clear ${label}`} onClick={() => set(name, null)} />
      }
    />
  );
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="sm">
      {input('actor', 'Actor', 'Name of a key')}
      {input('object', 'Object', 'Its id, as in pl_…')}
      <Select
        label="Action"
        placeholder="Any"
        data={written}
        value={filter.action ?? null}
        onChange={(action) => set('action', action)}
        searchable
        clearable
        clearButtonProps={{ 'aria-label': 'Clear action' }}
      />
      <Select
        label="Time"
        placeholder="Any"
        data={Object.keys(hours)}
        value={span}
        onChange={(chosen) => {
          const next = chosen as Span | null;
          setSpan(next);
          set('since', next === null ? null : nowMicros() - hours[next] * 3_600_000_000);
        }}
        clearable
        clearButtonProps={{ 'aria-label': 'Clear time' }}
      />
    </SimpleGrid>
  );
}

function Records({ records }: { records: readonly AuditRecord[] }): ReactNode {
  if (records.length === 0) return <Empty>No change is recorded that matches.</Empty>;
  return (
    <Table.ScrollContainer minWidth={820}>
      <Table verticalSpacing="xs" aria-label="Audit records">
        <Table.Thead>
          <Table.Tr>
            <Table.Th aria-label="Details" w={40} />
            <Table.Th>Time</Table.Th>
            <Table.Th>Actor</Table.Th>
            <Table.Th>Action</Table.Th>
            <Table.Th>Object</Table.Th>
            <Table.Th>Result</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {records.map((record) => (
            <RecordRow key={record.id} record={record} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** The name of the object. An answer about something else, such as a test, also has a name. */
const nameOf = ({ object, before, after }: AuditRecord): string | undefined => {
  const { id, name } = (after ?? before ?? {}) as { id?: unknown; name?: unknown };
  return id === object && typeof name === 'string' ? name : undefined;
};

function RecordRow({ record }: { record: AuditRecord }): ReactNode {
  const [open, setOpen] = useState(false);
  const { created_at, actor, role, action, object, status, code } = record;
  const name = nameOf(record);
  return (
    <Fragment>
      <Table.Tr>
        <Table.Td>
          <Unfold open={open} onOpen={setOpen} label={`Details of ${action}`} />
        </Table.Td>
        <Table.Td>
          <Time micros={created_at} />
        </Table.Td>
        <Table.Td>
          <Name>{actor}</Name>{' '}
          <Text span size="xs" c="dimmed">
            {role}
          </Text>
        </Table.Td>
        <Table.Td>
          <Name>{action}</Name>
        </Table.Td>
        <Table.Td>{object === null ? '–' : <ObjectLink id={object}>{name ?? object}</ObjectLink>}</Table.Td>
        <Table.Td>
          <Badge color={status < 400 ? 'teal' : 'red'} variant="light" tt="none" miw="max-content">
            {status}
            {code !== null && ` ${code}`}
          </Badge>
        </Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr>
          <Table.Td colSpan={6}>
            <Details record={record} />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  );
}

function Details({
  record: { before, after, address, object, request_id },
}: {
  record: AuditRecord;
}): ReactNode {
  const [was, is] = [before, after].map((state) => (state === null ? '' : prettyValue(state))) as [
    string,
    string,
  ];
  return (
    <Stack gap="xs">
      <Text size="sm" c="dimmed">
        From <Name>{address}</Name>, request <Name>{request_id}</Name>
        {object !== null && (
          <>
            , object <Name>{object}</Name>
          </>
        )}
      </Text>
      {was && is && <Compared was={was} is={is} />}
      {was && !is && <LongText text={was} label="Before" />}
      {!was && is && <LongText text={is} label="After" />}
      {!was && !is && <Text size="sm">No object is recorded: nothing changed, or it was too large.</Text>}
    </Stack>
  );
}
