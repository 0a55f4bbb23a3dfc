import { Grid, NumberInput, TextInput } from '@mantine/core';
import type { ComponentProps, ReactNode } from 'react';
import { type Pipeline, Refused } from '../api/client.ts';
import { KeyValues } from '../parts/key-values.tsx';

/** The fields of a pipeline beside its query. */

export interface PipelineFields {
  name: string;
  query: string;
  parallelism: number;
  checkpoint_interval_micros: number;
  labels: Record<string, string>;
  placement: Record<string, string>;
  tags: Record<string, string>;
}

export const newFields: PipelineFields = {
  name: '',
  query: '',
  parallelism: 1,
  checkpoint_interval_micros: 10_000_000,
  labels: {},
  placement: {},
  tags: {},
};

export const fieldsOf = (pipeline: Pipeline): PipelineFields => ({
  name: pipeline.name,
  query: pipeline.query,
  parallelism: pipeline.parallelism,
  checkpoint_interval_micros: pipeline.checkpoint_interval_micros,
  labels: pipeline.labels,
  placement: pipeline.placement,
  tags: pipeline.tags,
});

/** Error of the API for one field. */
export function errorAt(error: unknown, field: string): string | undefined {
  if (!(error instanceof Refused)) return undefined;
  const { code, detail, errors } = error.problem;
  if (field === 'name' && code === 'name_taken') return detail;
  const found = errors.filter(({ path }) => path === `/${field}` || path.startsWith(`/${field}/`));
  return found.length > 0 ? found.map(({ message }) => message).join('; ') : undefined;
}

/** Whether every part of an error is at a field of the form. */
export const isAtFields = (error: unknown): boolean => {
  if (!(error instanceof Refused)) return false;
  const { code, errors } = error.problem;
  const known = ['query', ...Object.keys(newFields)];
  return (
    code === 'name_taken' ||
    (errors.length > 0 && errors.every(({ path }) => known.some((name) => path.split('/')[1] === name)))
  );
};

interface FieldsProps {
  value: PipelineFields;
  onChange(value: PipelineFields): void;
  error: unknown;
  readOnly?: boolean;
}

export function Fields({ value, onChange, error, readOnly = false }: FieldsProps): ReactNode {
  const set = (change: Partial<PipelineFields>): void => onChange({ ...value, ...change });
  const common = (field: string) => ({ error: errorAt(error, field), readOnly });
  const pairs = (field: string) => ({ error: errorAt(error, field), disabled: readOnly });
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, sm: 6 }}>
        <TextInput
          label="Name"
          description="Unique among pipelines"
          required
          maxLength={100}
          value={value.name}
          onChange={({ currentTarget }) => set({ name: currentTarget.value })}
          {...common('name')}
        />
      </Grid.Col>
      <Grid.Col span={{ base: 12, sm: 3 }}>
        <NumberInput
          label="Parallelism"
          description="1 to 64 tasks. Several keep no order"
          {...{ min: 1, max: 64, allowDecimal: false, clampBehavior: 'strict' as const }}
          value={value.parallelism}
          onChange={(next) => set({ parallelism: Number(next) || 1 })}
          {...common('parallelism')}
        />
      </Grid.Col>
      <Grid.Col span={{ base: 12, sm: 3 }}>
        <NumberInput
          label="Checkpoint interval (s)"
          description="1 to 86,400 s"
          {...{ min: 1, max: 86_400, allowDecimal: false, clampBehavior: 'blur' as const }}
          value={value.checkpoint_interval_micros / 1_000_000}
          onChange={(next) => set({ checkpoint_interval_micros: (Number(next) || 1) * 1_000_000 })}
          {...common('checkpoint_interval_micros')}
        />
      </Grid.Col>
      <KeyValuesColumn
        label="Labels"
        description="To select pipelines, such as site=north"
        add="a label"
        value={value.labels}
        onChange={(labels) => set({ labels })}
        {...pairs('labels')}
      />
      <KeyValuesColumn
        label="Placement"
        description="Labels its workers must have; any if empty"
        add="a label"
        value={value.placement}
        onChange={(placement) => set({ placement })}
        {...pairs('placement')}
      />
      <KeyValuesColumn
        label="Tags"
        description="Free text about it"
        add="a tag"
        value={value.tags}
        onChange={(tags) => set({ tags })}
        {...pairs('tags')}
      />
    </Grid>
  );
}

const KeyValuesColumn = (props: ComponentProps<typeof KeyValues>): ReactNode => (
  <Grid.Col span={{ base: 12, sm: 4 }}>
    <KeyValues {...props} />
  </Grid.Col>
);
