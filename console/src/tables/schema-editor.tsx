import { Button, Group, Modal, NativeSelect, Stack, Switch, Text, Textarea, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconWand } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { ConnectionSchema, ConnectorDetail, Field } from '../api/client.ts';
import {
  cleaned,
  errorAt,
  errorsBelow,
  type FieldErrors,
  type Json,
  type Schema,
} from '../parts/form-values.ts';
import { SchemaForm } from '../parts/lazy.tsx';
import { Describe } from './describe.tsx';
import type { TableDraft } from './draft.ts';
import { Fields } from './fields.tsx';
import { badData, definitions, type FormatType, formats, time } from './schema-options.ts';

/** How a message becomes a row: format, columns, bad messages, and the time of windows. */

interface SchemaEditorProps {
  connector: ConnectorDetail;
  draft: TableDraft;
  onChange(schema: ConnectionSchema): void;
  /** Errors by pointer into the schema. */
  errors: FieldErrors;
  disabled: boolean;
}

export function SchemaEditor(props: SchemaEditorProps): ReactNode {
  const { connector, draft } = props;
  if (!connector.custom_schemas)
    return (
      <Text size="sm" c="dimmed">
        {connector.name} has a schema of its own.
      </Text>
    );
  const isSource = draft.direction === 'source';
  return (
    <Stack gap="lg">
      <Format {...props} />
      <Columns {...props} />
      {isSource && <BadData {...props} />}
      {isSource && <Windows {...props} />}
    </Stack>
  );
}

const Part = ({ title, children }: { title: string; children: ReactNode }): ReactNode => (
  <Stack gap="xs" component="section" aria-label={title}>
    <Title order={3} size="h6">
      {title}
    </Title>
    {children}
  </Stack>
);

const rows = 'rows';

function Format({ connector, draft, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
  const { schema, direction } = draft;
  const type = schema.format?.type;
  const choices = [
    ...(direction === 'sink' && connector.rows ? [{ value: rows, label: 'Typed rows, no format' }] : []),
    ...Object.entries(formats).map(([value, { label }]) => ({ value, label })),
  ];
  const choose = (next: string): void => {
    const { format: _format, definition: _definition, ...rest } = schema;
    onChange(next === rows ? rest : { ...rest, format: { type: next as FormatType } });
  };
  const options = type === undefined ? undefined : formats[type].schema;
  const framed = schema.framing?.method === 'newline';
  return (
    <Part title="Format">
      <NativeSelect
        label="Format"
        maw={280}
        data={choices}
        value={type ?? rows}
        disabled={disabled}
        error={errorAt(errors, '/format') ?? errorAt(errors, '')}
        onChange={({ currentTarget }) => choose(currentTarget.value)}
      />
      {type !== undefined && options && (
        <OptionsForm
          key={type}
          id="format"
          schema={options}
          value={schema.format as Json}
          errors={errorsBelow(errors, '/format')}
          disabled={disabled}
          onChange={(format) =>
            onChange({ ...schema, format: { ...format, type } as ConnectionSchema['format'] })
          }
        />
      )}
      {type !== undefined && (
        <Switch
          label="A record on each line"
          description="One message holds several records, separated by line breaks"
          checked={framed}
          disabled={disabled}
          onChange={() =>
            onChange(framed ? without(schema, 'framing') : { ...schema, framing: { method: 'newline' } })
          }
        />
      )}
    </Part>
  );
}

const without = (schema: ConnectionSchema, name: keyof ConnectionSchema): ConnectionSchema => {
  const { [name]: _, ...rest } = schema;
  return rest;
};

interface OptionsProps {
  id: string;
  schema: Schema;
  value: Json;
  errors: FieldErrors;
  disabled: boolean;
  onChange(value: Json): void;
}

/** Options as a form; those that the form does not know stay as they are. */
function OptionsForm({ schema, onChange, ...rest }: OptionsProps): ReactNode {
  return <SchemaForm {...rest} schema={schema} onChange={(value) => onChange(cleaned(schema, value))} />;
}

function Columns({ connector, draft, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
  const { schema, direction } = draft;
  const language = schema.format ? definitions[schema.format.type] : undefined;
  const { definition } = schema;
  const choose = (next: string): void => {
    const { fields = [], definition: _, ...rest } = schema;
    const own = fields.filter(({ metadata_key }) => typeof metadata_key === 'string');
    if (next === 'fields') onChange({ ...rest, fields: definition ? own : fields });
    else
      onChange({
        ...rest,
        fields: own,
        definition: { type: next, schema: '' } as ConnectionSchema['definition'],
      });
  };
  const change = (fields: Field[]): void => onChange({ ...without(schema, 'inferred'), fields });
  const fields = schema.fields ?? [];
  return (
    <Part title="Columns">
      <Group align="flex-end">
        {language && (
          <NativeSelect
            label="Defined by"
            data={[
              { value: 'fields', label: 'a list of columns' },
              { value: language.type, label: language.label },
            ]}
            value={definition ? language.type : 'fields'}
            disabled={disabled}
            onChange={({ currentTarget }) => choose(currentTarget.value)}
          />
        )}
        {direction === 'source' && !disabled && (
          <Propose connector={connector} draft={draft} onChange={onChange} />
        )}
      </Group>
      {direction === 'sink' && !definition && fields.length === 0 && (
        <Switch
          label="Take the columns of the query"
          description="The query that writes to the table decides. Otherwise, add the columns below."
          checked={schema.inferred === true}
          disabled={disabled}
          onChange={() =>
            onChange(schema.inferred ? without(schema, 'inferred') : { ...schema, inferred: true })
          }
        />
      )}
      {definition && language ? (
        <Textarea
          label={language.label}
          autosize
          minRows={6}
          maxRows={24}
          spellCheck={false}
          styles={{ input: { fontFamily: 'monospace', fontSize: 12 } }}
          value={definition.schema}
          disabled={disabled}
          error={errorAt(errors, '/definition/schema') ?? errorAt(errors, '/definition')}
          onChange={({ currentTarget }) =>
            onChange({
              ...schema,
              definition: { ...definition, schema: currentTarget.value } as ConnectionSchema['definition'],
            })
          }
        />
      ) : (
        <Fields
          fields={fields}
          onChange={change}
          errors={errorsBelow(errors, '/fields')}
          metadata={direction === 'source' ? connector.metadata_columns : []}
          disabled={disabled}
        />
      )}
      {errorAt(errors, '/fields') && (
        <Text size="xs" c="var(--mantine-color-error)" role="alert">
          {errorAt(errors, '/fields')}
        </Text>
      )}
    </Part>
  );
}

function Propose({
  connector,
  draft,
  onChange,
}: Pick<SchemaEditorProps, 'connector' | 'draft' | 'onChange'>): ReactNode {
  const [open, { open: show, close }] = useDisclosure(false);
  return (
    <>
      <Button variant="light" leftSection={<IconWand size={16} />} onClick={show}>
        Propose from live messages
      </Button>
      <Modal opened={open} onClose={close} size="80rem" title="Propose a schema from live messages">
        <Describe
          connector={connector.id}
          profileId={draft.profileId}
          config={draft.config}
          schema={draft.schema}
          onSchema={(schema) => {
            onChange(schema);
            close();
          }}
        />
      </Modal>
    </>
  );
}

function BadData({ draft: { schema }, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
  const change = (value: Json): void =>
    onChange(
      Object.keys(value).length === 0
        ? without(schema, 'bad_data')
        : { ...schema, bad_data: value as ConnectionSchema['bad_data'] },
    );
  return (
    <Part title="Bad messages">
      <OptionsForm
        id="bad_data"
        schema={badData}
        value={(schema.bad_data ?? {}) as Json}
        errors={errorsBelow(errors, '/bad_data')}
        disabled={disabled}
        onChange={change}
      />
    </Part>
  );
}

function Windows({ draft: { schema }, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
  const fields = schema.fields ?? [];
  const stamps = fields.filter(({ type }) => type === 'timestamp').map(({ name }) => name);
  const chosen = schema.time?.event_time_field;
  const offered = [...new Set([...stamps, ...(chosen ? [chosen] : [])])];
  const change = (value: Json): void =>
    onChange(
      Object.keys(value).length === 0
        ? without(schema, 'time')
        : { ...schema, time: value as ConnectionSchema['time'] },
    );
  return (
    <Part title="Time of windows">
      <OptionsForm
        id="time"
        schema={time(
          offered,
          fields.map(({ name }) => name),
        )}
        value={(schema.time ?? {}) as Json}
        errors={errorsBelow(errors, '/time')}
        disabled={disabled}
        onChange={change}
      />
    </Part>
  );
}
