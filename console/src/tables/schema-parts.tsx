import { Stack, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ConnectionSchema, ConnectorDetail } from '../api/client.ts';
import { cleaned, errorsBelow, type FieldErrors, type Json, type Schema } from '../parts/form-values.ts';
import { SchemaForm } from '../parts/lazy.tsx';
import { Fold } from '../parts/parts.tsx';
import type { TableDraft } from './draft.ts';
import { badData, time } from './schema-options.ts';

/** Parts of the schema of a table that are forms of options. */

export interface SchemaEditorProps {
  connector: ConnectorDetail;
  draft: TableDraft;
  onChange(schema: ConnectionSchema): void;
  /** Errors by pointer into the schema. */
  errors: FieldErrors;
  disabled: boolean;
}

export const Part = ({ title, children }: { title: string; children: ReactNode }): ReactNode => (
  <Stack gap="xs" component="section" aria-label={title}>
    <Title order={3} size="h6">
      {title}
    </Title>
    {children}
  </Stack>
);

export const without = (schema: ConnectionSchema, name: keyof ConnectionSchema): ConnectionSchema => {
  const { [name]: _, ...rest } = schema;
  return rest;
};

interface OptionsProps {
  /** Title of the part that can be folded; without it, the form is always open. */
  title?: string;
  id: string;
  schema: Schema;
  value: Json;
  errors: FieldErrors;
  disabled: boolean;
  onChange(value: Json): void;
}

/** Options as a form, folded until one is set; those that the form does not know stay as they are. */
export function OptionsForm({ schema, onChange, title, ...rest }: OptionsProps): ReactNode {
  const names = Object.keys(schema.properties ?? {});
  const form = (
    <SchemaForm {...rest} schema={schema} onChange={(value) => onChange(cleaned(schema, value))} />
  );
  if (title === undefined) return form;
  return (
    <Fold
      title={title}
      open={names.some((name) => name in rest.value)}
      wrong={Object.keys(rest.errors).length > 0}
    >
      {form}
    </Fold>
  );
}

export function BadData({ draft: { schema }, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
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

export function Windows({ draft: { schema }, onChange, errors, disabled }: SchemaEditorProps): ReactNode {
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
    <Part title="Windows">
      <OptionsForm
        id="time"
        title="Event time, late rows, duplicates"
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
