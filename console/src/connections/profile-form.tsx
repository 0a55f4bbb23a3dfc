import { Stack, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ConnectorDetail } from '../api/client.ts';
import {
  cleaned,
  errorAt,
  errorsBelow,
  type FieldErrors,
  type Json,
  labelErrors,
  type Schema,
} from '../parts/form-values.ts';
import { KeyValues } from '../parts/key-values.tsx';
import { SchemaForm } from '../parts/lazy.tsx';

/** The form of a connection profile, new or stored. */

export interface ProfileDraft {
  name: string;
  config: Json;
  labels: Record<string, string>;
}

export const configSchema = (connector: ConnectorDetail): Schema => connector.connection_schema as Schema;

/** The body that a draft stands for. */
export const bodyOf = (connector: ConnectorDetail, { name, config, labels }: ProfileDraft) => ({
  name,
  connector: connector.id,
  config: cleaned(configSchema(connector), config),
  labels,
});

/** Fields of profiles that name all servers of a cluster. */
const servers: Record<string, readonly string[]> = { mqtt: ['url'] };

export function ProfileForm(props: ProfileFormProps): ReactNode {
  const { connector, draft, onChange, errors, disabled = false } = props;
  return (
    <Stack>
      <TextInput
        label="Name"
        description="Unique among connections. Queries and bundles refer to it."
        required
        disabled={disabled}
        maw={400}
        value={draft.name}
        error={errorAt(errors, '/name')}
        onChange={({ currentTarget }) => onChange({ ...draft, name: currentTarget.value })}
      />
      <SchemaForm
        id="config"
        schema={configSchema(connector)}
        value={draft.config}
        errors={errorsBelow(errors, '/config')}
        servers={servers[connector.id] ?? []}
        disabled={disabled}
        onChange={(config) => onChange({ ...draft, config })}
      />
      <KeyValues
        label="Labels"
        add="a label"
        description="Names and values to search and select by, such as site=north."
        value={draft.labels}
        disabled={disabled}
        error={labelErrors(errors)}
        onChange={(labels) => onChange({ ...draft, labels })}
      />
    </Stack>
  );
}
interface ProfileFormProps {
  connector: ConnectorDetail;
  draft: ProfileDraft;
  onChange(draft: ProfileDraft): void;
  errors: FieldErrors;
  disabled?: boolean;
}
