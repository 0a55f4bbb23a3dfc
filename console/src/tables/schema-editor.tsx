import { Button, Group, Modal, NativeSelect, Stack, Switch, Text, Textarea } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconWand } from '@tabler/icons-react';
import { useParams } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { ConnectionSchema, Field } from '../api/client.ts';
import { errorAt, errorsBelow, type Json } from '../parts/form-values.ts';
import { Describe } from './describe.tsx';
import { bodyOf } from './draft.ts';
import { Fields } from './fields.tsx';
import { definitions, type FormatType, formats } from './schema-options.ts';
import { BadData, OptionsForm, Part, type SchemaEditorProps, Windows, without } from './schema-parts.tsx';

/** How a message becomes a row: format, columns, bad messages, and the time of windows. */

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
          title="Options of the format"
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
  // Of the page of a stored table.
  const { id: tableId } = useParams({ strict: false });
  return (
    <>
      <Button variant="light" leftSection={<IconWand size={16} />} onClick={show}>
        Propose from live messages
      </Button>
      <Modal opened={open} onClose={close} size="80rem" title="Propose a schema from live messages">
        <Describe
          connector={connector.id}
          profileId={draft.profileId}
          tableId={tableId}
          config={bodyOf(connector, draft).config}
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
