import { Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { type ConnectorDetail, call } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { ConnectorCards, ConnectorIcon, useConnector, useConnectors } from '../parts/connectors.tsx';
import { errorsOf, merged, withoutSecrets } from '../parts/form-values.ts';
import { notify } from '../parts/notices.tsx';
import { Beside, Empty, Loaded, Page, Problem } from '../parts/parts.tsx';
import { TestButton, TestSteps, useTest } from '../parts/test-steps.tsx';
import { bodyOf, configSchema, type ProfileDraft, ProfileForm } from './profile-form.tsx';

/** A new connection profile: first its connector, then its form. */
export function NewConnectionPage(): ReactNode {
  const { connector } = useSearch({ from: '/connections/new' });
  if (!useMay('operator'))
    return (
      <Page title="New connection">
        <Empty>Your role may look at connections. To make one, log in with the key of an operator.</Empty>
      </Page>
    );
  return connector === undefined ? <Choose /> : <Fill id={connector} />;
}

function Choose(): ReactNode {
  const query = useConnectors();
  const navigate = useNavigate({ from: '/connections/new' });
  return (
    <Page title="New connection">
      <Loaded query={query}>
        {(all) => (
          <Stack>
            <Text size="sm">Which system does it connect to?</Text>
            <ConnectorCards
              connectors={all.filter(({ connection_config }) => connection_config !== null)}
              onChoose={(connector) => void navigate({ search: { connector } })}
            />
            <Text size="sm" c="dimmed">
              Other connectors have no profile. Their address is part of the table:{' '}
              <Anchor component={Link} to="/tables/new" size="sm" underline="always">
                make a table
              </Anchor>
              .
            </Text>
          </Stack>
        )}
      </Loaded>
    </Page>
  );
}

function Fill({ id }: { id: string }): ReactNode {
  const query = useConnector(id);
  return (
    <Loaded query={query} page="New connection">
      {(connector) => <Form connector={connector} />}
    </Loaded>
  );
}

const empty: ProfileDraft = { name: '', config: {}, labels: {} };

function Form({ connector }: { connector: ConnectorDetail }): ReactNode {
  const [draft, setDraft] = useState(empty);
  const navigate = useNavigate();
  const client = useQueryClient();
  const body = bodyOf(connector, draft);
  const schema = configSchema(connector);
  const test = useTest(schema, body.config);
  const create = useMutation({
    mutationFn: () => call('createConnectionProfile', { body }),
    onSuccess: async ({ id }) => {
      await client.invalidateQueries({ queryKey: ['connection_profiles'] });
      notify('The connection is stored');
      await navigate({ to: '/connections/$id', params: { id } });
    },
  });
  const runTest = (): void => {
    create.reset();
    test.start('testConnectionProfile', { body: { ...body, name: body.name || 'test' } });
  };
  const shown = { ...body, config: withoutSecrets(schema, body.config) };
  return (
    <Page
      name={`New ${connector.name} connection`}
      title={
        <Group gap="xs">
          <ConnectorIcon connector={connector.id} size={28} />
          New {connector.name} connection
        </Group>
      }
      actions={
        <Automate
          calls={[
            {
              title: 'Test it',
              method: 'POST',
              path: '/api/v1/connection_profiles/test',
              body: shown,
              stream: true,
            },
            { title: 'Create it', method: 'POST', path: '/api/v1/connection_profiles', body: shown },
          ]}
        />
      }
    >
      <Beside aside={<TestSteps test={test} />}>
        <ProfileForm
          connector={connector}
          draft={draft}
          errors={merged(errorsOf(create.error), test.errors)}
          disabled={create.isPending}
          onChange={(next) => {
            setDraft(next);
            create.reset();
          }}
        />
        <Problem error={create.error} title="It was not stored" />
        <Group>
          {connector.testing && <TestButton test={test} onStart={runTest} />}
          <Button loading={create.isPending} onClick={() => create.mutate()}>
            Save
          </Button>
          <Anchor component={Link} to="/connections/new" search={{} as never} size="sm">
            Choose another connector
          </Anchor>
        </Group>
      </Beside>
    </Page>
  );
}
