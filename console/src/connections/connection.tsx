import { Button, Code, Group, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { Can, useMay } from '../api/caller.tsx';
import {
  type ConnectionProfile,
  type ConnectorDetail,
  call,
  callWithTag,
  unchanging,
} from '../api/client.ts';
import { Automate, type Call } from '../parts/automate.tsx';
import { ConnectorIcon, useConnector } from '../parts/connectors.tsx';
import { DeleteObject, UsedBy } from '../parts/dependents.tsx';
import { errorsOf, merged, patchOf, withoutSecrets } from '../parts/form-values.ts';
import { Beside, Loaded, Page, Problem } from '../parts/parts.tsx';
import { sentAs, useSave } from '../parts/save.tsx';
import { type Test, TestButton, TestSteps, useTest } from '../parts/test-steps.tsx';
import { Name } from '../parts/text.tsx';
import { bodyOf, configSchema, type ProfileDraft, ProfileForm } from './profile-form.tsx';

/** A stored connection profile: its form, its test, and what uses it. */
export function ConnectionPage(): ReactNode {
  const { id } = useParams({ from: '/connections/$id' });
  const query = useQuery({
    queryKey: ['connection_profile', id],
    queryFn: () => callWithTag('getConnectionProfile', { params: { id } }),
    // The user edits this version. A conflict shows when it is saved.
    ...unchanging,
    gcTime: 0,
  });
  return (
    <Loaded query={query} page="Connection">
      {({ answer, etag }) => <WithConnector key={etag} profile={answer} etag={etag} />}
    </Loaded>
  );
}

interface StoredProps {
  profile: ConnectionProfile;
  etag: string | null;
}

function WithConnector(props: StoredProps): ReactNode {
  const query = useConnector(props.profile.connector);
  return (
    <Loaded query={query} page={props.profile.name}>
      {(connector) => <Edit {...props} connector={connector} />}
    </Loaded>
  );
}

const draftOf = ({ name, config, labels }: ConnectionProfile): ProfileDraft => ({ name, config, labels });

function useEdit({ profile, etag, connector }: StoredProps & { connector: ConnectorDetail }) {
  const { id } = profile;
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(profile));
  const stored = bodyOf(connector, draftOf(profile));
  const body = bodyOf(connector, draft);
  const again = async (): Promise<void> => {
    await client.invalidateQueries({ queryKey: ['connection_profile', id] });
    await client.invalidateQueries({ queryKey: ['connection_profiles'] });
  };
  const save = useSave({
    etag: etag ?? undefined,
    send: (how) => call('replaceConnectionProfile', { params: { id }, ...sentAs(how), body }),
    theirs: async () => {
      const now = await callWithTag('getConnectionProfile', { params: { id } });
      return { body: bodyOf(connector, draftOf(now.answer)), etag: now.etag ?? undefined };
    },
    mine: () => ({ ...body, config: withoutSecrets(configSchema(connector), body.config) }),
    onSaved: again,
    onTheirs: again,
  });
  const changed = JSON.stringify(body) !== JSON.stringify(stored);
  return { draft, setDraft, stored, body, save, changed, reset: () => setDraft(draftOf(profile)) };
}

function Edit(props: StoredProps & { connector: ConnectorDetail }): ReactNode {
  const { profile, connector } = props;
  const { draft, setDraft, stored, body, save, changed, reset } = useEdit(props);
  const may = useMay('operator');
  const test = useTest(configSchema(connector), body.config);
  const runTest = (): void => {
    save.forget();
    const config = patchOf(stored.config, body.config);
    test.start('testStoredConnectionProfile', { params: { id: profile.id }, body: { config } });
  };
  return (
    <Page
      name={profile.name}
      title={
        <Group gap="xs">
          <ConnectorIcon connector={connector.id} size={28} />
          <Name>{profile.name}</Name>
        </Group>
      }
      actions={<Actions profile={profile} calls={callsOf(profile, connector, body)} />}
    >
      <Beside aside={<Aside profile={profile} test={test} />}>
        <ProfileForm
          connector={connector}
          draft={draft}
          errors={merged(errorsOf(save.error), test.errors)}
          disabled={!may || save.busy}
          onChange={(next) => {
            setDraft(next);
            save.forget();
          }}
        />
        <Problem error={save.error} title="It was not saved" />
        <Can role="operator">
          <Group>
            <Button loading={save.busy} disabled={!changed} onClick={save.begin}>
              Save
            </Button>
            <Button variant="default" disabled={!changed || save.busy} onClick={reset}>
              Undo changes
            </Button>
            {connector.testing && <TestButton test={test} onStart={runTest} />}
          </Group>
        </Can>
        {save.dialog}
      </Beside>
    </Page>
  );
}

function Aside({ profile, test }: { profile: ConnectionProfile; test: Test }): ReactNode {
  return (
    <>
      <TestSteps test={test} />
      <UsedBy kind="connection_profiles" id={profile.id}>
        <Text size="xs" c="dimmed" mt="md">
          Id <Code>{profile.id}</Code>
        </Text>
      </UsedBy>
    </>
  );
}

function Actions({ profile, calls }: { profile: ConnectionProfile; calls: readonly Call[] }): ReactNode {
  const navigate = useNavigate();
  const { id, name } = profile;
  return (
    <>
      <Automate calls={calls} object={{ kind: 'connection_profiles', name, id }} />
      <Can role="operator">
        <DeleteObject
          kind="connection_profiles"
          id={id}
          name={name}
          noun="connection profile"
          onDeleted={() => void navigate({ to: '/connections' })}
        />
      </Can>
    </>
  );
}

function callsOf(
  profile: ConnectionProfile,
  connector: ConnectorDetail,
  body: ReturnType<typeof bodyOf>,
): Call[] {
  const path = `/api/v1/connection_profiles/${profile.id}`;
  const shown = { ...body, config: withoutSecrets(configSchema(connector), body.config) };
  return [
    { title: 'Get it', method: 'GET', path },
    { title: 'Test it', method: 'POST', path: `${path}/test`, stream: true },
    { title: 'See what a change affects', method: 'PUT', path: `${path}?dry_run=true`, body: shown },
    { title: 'Change it', method: 'PUT', path, body: shown },
    { title: 'List what uses it', method: 'GET', path: `${path}/dependents` },
    { title: 'Delete it', method: 'DELETE', path },
  ];
}
