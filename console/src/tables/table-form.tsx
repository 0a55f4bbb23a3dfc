import { Alert, Anchor, Group, SegmentedControl, Select, Stack, Text, TextInput, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useMemo, useState } from 'react';
import { type ConnectorDetail, call } from '../api/client.ts';
import { errorAt, errorsBelow, type FieldErrors, labelErrors } from '../parts/form-values.ts';
import { KeyValues } from '../parts/key-values.tsx';
import { Editor, SchemaForm } from '../parts/lazy.tsx';
import { prettyValue, visible } from '../parts/text.tsx';
import {
  bodyOf,
  type Direction,
  directed,
  directionsOf,
  draftFrom,
  type TableDraft,
  turned,
} from './draft.ts';
import { SchemaEditor } from './schema-editor.tsx';

/** The form of a table, new or stored, and the same as JSON. */

export interface TableFormProps {
  connector: ConnectorDetail;
  draft: TableDraft;
  onChange(draft: TableDraft): void;
  /** Errors by pointer into the body. */
  errors: FieldErrors;
  disabled?: boolean;
  /** A stored table keeps its direction. */
  stored?: boolean;
  /** Whether the JSON cannot be read, so that nothing can be saved. */
  onUnreadable(unreadable: boolean): void;
}

export function TableForm(props: TableFormProps): ReactNode {
  const [view, setView] = useState('form');
  const change = (next: string): void => {
    setView(next);
    props.onUnreadable(false);
  };
  return (
    <Stack>
      <SegmentedControl
        aria-label="View"
        w="fit-content"
        size="xs"
        data={[
          { value: 'form', label: 'Form' },
          { value: 'json', label: 'Edit as JSON' },
        ]}
        value={view}
        onChange={change}
      />
      {view === 'json' ? <AsJson {...props} /> : <AsForm {...props} />}
    </Stack>
  );
}

function AsJson({ connector, draft, onChange, disabled = false, onUnreadable }: TableFormProps): ReactNode {
  const [first] = useState(() => prettyValue(bodyOf(connector, draft)));
  const [problem, setProblem] = useState<string>();
  const read = (text: string): void => {
    try {
      onChange(draftFrom(connector, JSON.parse(text)));
      setProblem(undefined);
      onUnreadable(false);
    } catch (error) {
      setProblem((error as Error).message);
      onUnreadable(true);
    }
  };
  return (
    <Stack gap="xs">
      <Editor label="Table as JSON" value={first} onChange={read} readOnly={disabled} minHeight="24rem" />
      {problem && (
        <Alert color="red" title="This JSON cannot be used" role="alert">
          {visible(problem)}
        </Alert>
      )}
    </Stack>
  );
}

function AsForm(props: TableFormProps): ReactNode {
  const { connector, draft, onChange, errors, disabled = false, stored = false } = props;
  const directions = directionsOf(connector);
  const { profileId } = draft;
  const suggested = useMemo(
    () => (connector.id === 'mqtt' ? { profileId, fields: ['topic'] } : undefined),
    [connector.id, profileId],
  );
  const turn = (direction: Direction): void =>
    onChange({ ...draft, direction, config: turned(connector, draft.config, direction) });
  return (
    <Stack>
      <Group align="flex-start" grow preventGrowOverflow={false}>
        <TextInput
          label="Name"
          description="Queries name the table by it."
          required
          disabled={disabled}
          miw={220}
          value={draft.name}
          error={errorAt(errors, '/name')}
          onChange={({ currentTarget }) => onChange({ ...draft, name: currentTarget.value })}
        />
        {connector.connection_config !== null && <ProfileChoice {...props} />}
      </Group>
      {directions.length > 1 && (
        <div>
          <Text size="sm" fw={500} id="direction">
            Direction
          </Text>
          <SegmentedControl
            aria-labelledby="direction"
            disabled={disabled || stored}
            data={[
              { value: 'source', label: 'Source: read' },
              { value: 'sink', label: 'Sink: write' },
            ]}
            value={draft.direction}
            onChange={(next) => turn(next as Direction)}
          />
        </div>
      )}
      <SchemaForm
        key={draft.direction}
        id="config"
        schema={directed(connector, draft.direction)}
        value={draft.config}
        errors={errorsBelow(errors, '/config')}
        disabled={disabled}
        {...(suggested === undefined ? {} : { suggested })}
        onChange={(config) => onChange({ ...draft, config })}
      />
      <Title order={2} size="h4" mt="xs">
        Schema
      </Title>
      <SchemaEditor
        connector={connector}
        draft={draft}
        errors={errorsBelow(errors, '/schema')}
        disabled={disabled}
        onChange={(schema) => onChange({ ...draft, schema })}
      />
      <KeyValues
        label="Labels"
        description="Names and values to search and select by, such as site=north."
        add="a label"
        value={draft.labels}
        disabled={disabled}
        error={labelErrors(errors)}
        onChange={(labels) => onChange({ ...draft, labels })}
      />
    </Stack>
  );
}

function ProfileChoice({ connector, draft, onChange, errors, disabled = false }: TableFormProps): ReactNode {
  const { data } = useQuery({
    queryKey: ['connection_profiles', undefined],
    queryFn: () => call('listConnectionProfiles', {}),
  });
  const profiles = data?.data.filter((profile) => profile.connector === connector.id) ?? [];
  return (
    <div>
      <Select
        label="Connection"
        description={
          connector.profile_optional
            ? 'The profile to connect with. Local files need none.'
            : 'The profile to connect with.'
        }
        placeholder={connector.profile_optional ? 'None' : 'Choose a connection'}
        required={!connector.profile_optional}
        searchable
        clearable={connector.profile_optional}
        clearButtonProps={{ 'aria-label': 'Use no connection' }}
        limit={50}
        disabled={disabled}
        miw={220}
        data={profiles.map(({ id, name }) => ({ value: id, label: visible(name) }))}
        nothingFoundMessage="No such connection"
        value={draft.profileId}
        error={errorAt(errors, '/connection_profile_id')}
        onChange={(profileId) => onChange({ ...draft, profileId })}
      />
      {data && profiles.length === 0 && !connector.profile_optional && (
        <Text size="sm" mt={4}>
          There is no {connector.name} connection yet.{' '}
          <Anchor
            component={Link}
            to="/connections/new"
            search={{ connector: connector.id } as never}
            size="sm"
            underline="always"
          >
            Make one
          </Anchor>
        </Text>
      )}
    </div>
  );
}
