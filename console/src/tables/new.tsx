import { Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { type ConnectorDetail, call } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { ConnectorCards, ConnectorIcon, useConnector, useConnectors } from '../parts/connectors.tsx';
import { errorsOf, merged } from '../parts/form-values.ts';
import { notify } from '../parts/notices.tsx';
import { Beside, Empty, Loaded, Page, Problem } from '../parts/parts.tsx';
import { TestSteps } from '../parts/test-steps.tsx';
import { bodyOf, directionsOf, emptySchema, type TableDraft } from './draft.ts';
import { newCalls, shownBody, TestTable, useTableTest } from './table-actions.tsx';
import { TableForm } from './table-form.tsx';

/** A new table: first its connector, then its form. */
export function NewTablePage(): ReactNode {
  const { connector } = useSearch({ from: '/tables/new' });
  if (!useMay('operator'))
    return (
      <Page title="New table">
        <Empty>Your role may look at tables. To make one, log in with the key of an operator.</Empty>
      </Page>
    );
  return connector === undefined ? <Choose /> : <Fill key={connector} id={connector} />;
}

function Choose(): ReactNode {
  const query = useConnectors();
  const navigate = useNavigate({ from: '/tables/new' });
  return (
    <Page title="New table">
      <Loaded query={query}>
        {(connectors) => (
          <Stack>
            <Text size="sm">Where are the messages read from, or written to?</Text>
            <ConnectorCards
              connectors={connectors}
              onChoose={(connector) => void navigate({ search: { connector } })}
            />
          </Stack>
        )}
      </Loaded>
    </Page>
  );
}

function Fill({ id }: { id: string }): ReactNode {
  const query = useConnector(id);
  return (
    <Loaded query={query} page="New table">
      {(connector) => <Form connector={connector} />}
    </Loaded>
  );
}

const firstDraft = (connector: ConnectorDetail): TableDraft => ({
  name: '',
  direction: directionsOf(connector)[0] ?? 'source',
  profileId: null,
  config: {},
  schema: emptySchema(connector),
  labels: {},
});

function Form({ connector }: { connector: ConnectorDetail }): ReactNode {
  const [draft, setDraft] = useState(() => firstDraft(connector));
  const [unreadable, setUnreadable] = useState(false);
  const navigate = useNavigate();
  const client = useQueryClient();
  const body = bodyOf(connector, draft);
  const test = useTableTest({ connector, draft, body });
  const create = useMutation({
    mutationFn: () => call('createConnectionTable', { body }),
    onSuccess: async ({ id }) => {
      await client.invalidateQueries({ queryKey: ['connection_tables'] });
      notify('The table is stored');
      await navigate({ to: '/tables/$id', params: { id } });
    },
  });
  return (
    <Page
      name={`New ${connector.name} table`}
      title={
        <Group gap="xs">
          <ConnectorIcon connector={connector.id} size={28} />
          New {connector.name} table
        </Group>
      }
      actions={<Automate calls={newCalls(shownBody(connector, draft, body))} />}
    >
      <Beside aside={<TestSteps test={test} />}>
        <TableForm
          connector={connector}
          draft={draft}
          errors={merged(errorsOf(create.error), test.errors)}
          disabled={create.isPending}
          onUnreadable={setUnreadable}
          onChange={(next) => {
            setDraft(next);
            create.reset();
          }}
        />
        <Problem error={create.error} title="It was not stored" />
        <Group>
          <Button loading={create.isPending} disabled={unreadable} onClick={() => create.mutate()}>
            Save
          </Button>
          {connector.testing && <TestTable test={test} />}
          <Anchor component={Link} to="/tables/new" search={{} as never} size="sm">
            Choose another connector
          </Anchor>
        </Group>
      </Beside>
    </Page>
  );
}
