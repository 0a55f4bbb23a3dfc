import { Anchor, Badge, Button, Code, Group, Tabs, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { Can, useMay } from '../api/caller.tsx';
import { type ConnectionTable, type ConnectorDetail, call, callWithTag, unchanging } from '../api/client.ts';
import { Automate, type Call } from '../parts/automate.tsx';
import { ConnectorIcon, useConnector } from '../parts/connectors.tsx';
import { DeleteObject, UsedBy } from '../parts/dependents.tsx';
import { errorsOf, merged } from '../parts/form-values.ts';
import { Beside, Loaded, Page, Problem, Time } from '../parts/parts.tsx';
import { sentAs, useSave } from '../parts/save.tsx';
import { TestSteps } from '../parts/test-steps.tsx';
import { Name } from '../parts/text.tsx';
import { bodyOf, draftOf } from './draft.ts';
import { LiveTail } from './live-tail.tsx';
import { shownBody, storedCalls, type TableTest, TestTable, useTableTest } from './table-actions.tsx';
import { TableForm } from './table-form.tsx';

/** A stored table: its definition, and its messages as they arrive. */
export function TablePage(): ReactNode {
  const { id } = useParams({ from: '/tables/$id' });
  const query = useQuery({
    queryKey: ['connection_table', id],
    queryFn: () => callWithTag('getConnectionTable', { params: { id } }),
    // The user edits this version. A conflict shows when it is saved.
    ...unchanging,
    gcTime: 0,
  });
  return (
    <Loaded query={query} page="Table">
      {({ answer, etag }) => <WithConnector key={etag} table={answer} etag={etag} />}
    </Loaded>
  );
}

interface StoredProps {
  table: ConnectionTable;
  etag: string | null;
}

function WithConnector(props: StoredProps): ReactNode {
  const query = useConnector(props.table.connector);
  return (
    <Loaded query={query} page={props.table.name}>
      {(connector) => <Shown {...props} connector={connector} />}
    </Loaded>
  );
}

type ShownProps = StoredProps & { connector: ConnectorDetail };

function Shown(props: ShownProps): ReactNode {
  const { table, connector } = props;
  const { tab = 'definition' } = useSearch({ from: '/tables/$id' });
  const navigate = useNavigate({ from: '/tables/$id' });
  const isSource = table.table_type === 'source';
  const draft = draftOf(table);
  const calls = storedCalls(table.id, shownBody(connector, draft, bodyOf(connector, draft)), isSource);
  return (
    <Page
      name={table.name}
      title={
        <Group gap="xs">
          <ConnectorIcon connector={connector.id} size={28} />
          <Name>{table.name}</Name>
          <Badge variant="default">{table.table_type}</Badge>
        </Group>
      }
      actions={<Actions table={table} calls={calls} />}
    >
      {isSource ? (
        <Tabs
          value={tab}
          onChange={(next) => void navigate({ search: next === null ? {} : { tab: next } })}
          keepMounted={false}
        >
          <Tabs.List mb="md">
            <Tabs.Tab value="definition">Definition</Tabs.Tab>
            <Tabs.Tab value="live">Live messages</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="definition">
            <Definition {...props} />
          </Tabs.Panel>
          <Tabs.Panel value="live">
            <LiveTail table={table} />
          </Tabs.Panel>
        </Tabs>
      ) : (
        <Definition {...props} />
      )}
    </Page>
  );
}

function Actions({
  table: { id, name },
  calls,
}: {
  table: ConnectionTable;
  calls: readonly Call[];
}): ReactNode {
  const navigate = useNavigate();
  return (
    <>
      <Automate calls={calls} object={{ kind: 'connection_tables', name, id }} />
      <Can role="operator">
        <DeleteObject
          kind="connection_tables"
          id={id}
          name={name}
          noun="table"
          onDeleted={() => void navigate({ to: '/tables' })}
        />
      </Can>
    </>
  );
}

function useEdit({ table, etag, connector }: ShownProps) {
  const { id } = table;
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(table));
  const stored = bodyOf(connector, draftOf(table));
  const body = bodyOf(connector, draft);
  const again = async (): Promise<void> => {
    await client.invalidateQueries({ queryKey: ['connection_table', id] });
    await client.invalidateQueries({ queryKey: ['connection_tables'] });
  };
  const save = useSave({
    etag: etag ?? undefined,
    send: (how) => call('replaceConnectionTable', { params: { id }, ...sentAs(how), body }),
    theirs: async () => {
      const now = await callWithTag('getConnectionTable', { params: { id } });
      return { body: bodyOf(connector, draftOf(now.answer)), etag: now.etag ?? undefined };
    },
    mine: () => shownBody(connector, draft, body),
    onSaved: again,
    onTheirs: again,
  });
  const changed = JSON.stringify(body) !== JSON.stringify(stored);
  const [edition, setEdition] = useState(0);
  const reset = (): void => {
    setDraft(draftOf(table));
    setEdition(edition + 1);
  };
  return { draft, setDraft, stored, body, save, changed, reset, edition };
}

function Definition(props: ShownProps): ReactNode {
  const { table, connector } = props;
  const may = useMay('operator');
  const [unreadable, setUnreadable] = useState(false);
  const { draft, setDraft, stored, body, save, changed, reset, edition } = useEdit(props);
  const test = useTableTest({ connector, draft, body, stored: { id: table.id, body: stored } });
  return (
    <Beside aside={<Aside table={table} test={test} />}>
      <TableForm
        key={edition}
        connector={connector}
        draft={draft}
        errors={merged(errorsOf(save.error), test.errors)}
        disabled={!may || save.busy}
        stored
        onUnreadable={setUnreadable}
        onChange={(next) => {
          setDraft(next);
          save.forget();
        }}
      />
      <Problem error={save.error} title="It was not saved" />
      <Can role="operator">
        <Group>
          <Button loading={save.busy} disabled={!changed || unreadable} onClick={save.begin}>
            Save
          </Button>
          <Button variant="default" disabled={save.busy || (!changed && !unreadable)} onClick={reset}>
            Undo changes
          </Button>
          {connector.testing && <TestTable test={test} />}
        </Group>
      </Can>
      {save.dialog}
    </Beside>
  );
}

function Aside({ table, test }: { table: ConnectionTable; test: TableTest }): ReactNode {
  const { connection_profile: profile } = table;
  return (
    <>
      <TestSteps test={test} />
      <UsedBy kind="connection_tables" id={table.id}>
        {profile && (
          <Text size="sm" mt="md">
            Connection{' '}
            <Anchor component={Link} to="/connections/$id" params={{ id: profile.id } as never} size="sm">
              <Name>{profile.name}</Name>
            </Anchor>
          </Text>
        )}
        <Text size="xs" c="dimmed" mt="md">
          Id <Code>{table.id}</Code>, created <Time micros={table.created_at} />
        </Text>
      </UsedBy>
    </>
  );
}
