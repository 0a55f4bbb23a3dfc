import {
  Button,
  FileButton,
  Group,
  NumberInput,
  PasswordInput,
  Select,
  Switch,
  TagsInput,
  Text,
  Textarea,
  TextInput,
} from '@mantine/core';
import type { FieldProps, WidgetProps } from '@rjsf/utils';
import { type ReactNode, useState } from 'react';
import { isObject, mask } from './form-values.ts';
import { KeyValues } from './key-values.tsx';
import { TopicInput } from './topic-input.tsx';

/** The inputs of a form made from a JSON Schema. */

const said = (errors: string[] | undefined): string | undefined => errors?.join('\n') || undefined;

const common = ({ id, label, required, disabled, readonly, schema, rawErrors }: WidgetProps) => ({
  id,
  label,
  required: required ?? false,
  disabled: (disabled ?? false) || (readonly ?? false),
  description: schema.description,
  error: said(rawErrors),
});

/** Text and numbers. The placeholder is the default. */
export function BaseInput(props: WidgetProps): ReactNode {
  const { value, onChange, placeholder, schema } = props;
  if (schema.type === 'integer' || schema.type === 'number')
    return (
      <NumberInput
        {...common(props)}
        value={value ?? ''}
        placeholder={placeholder ?? ''}
        allowDecimal={schema.type === 'number'}
        {...(schema.minimum === undefined ? {} : { min: schema.minimum })}
        {...(schema.maximum === undefined ? {} : { max: schema.maximum })}
        clampBehavior="none"
        onChange={(next) => onChange(next === '' ? undefined : next)}
      />
    );
  return (
    <TextInput
      {...common(props)}
      value={`${value ?? ''}`}
      placeholder={placeholder ?? ''}
      spellCheck={false}
      onChange={({ currentTarget }) => onChange(currentTarget.value || undefined)}
    />
  );
}

/** A text for which the server of a profile offers values: `ui:options` has its `profileId`. */
export function SuggestedInput(props: WidgetProps): ReactNode {
  const { value, onChange, options, placeholder } = props;
  return (
    <TopicInput
      {...common(props)}
      profileId={(options.profileId as string | null | undefined) ?? null}
      value={`${value ?? ''}`}
      placeholder={placeholder ?? ''}
      onChange={(next) => onChange(next || undefined)}
    />
  );
}

export function SwitchInput(props: WidgetProps): ReactNode {
  const { required: _, ...rest } = common(props);
  return (
    <Switch
      {...rest}
      checked={props.value === true}
      onChange={({ currentTarget }) => props.onChange(currentTarget.checked)}
    />
  );
}

/** One of several values. Empty means the default. */
export function SelectInput(props: WidgetProps): ReactNode {
  const { value, onChange, placeholder, options, required } = props;
  const choices = (options.enumOptions ?? []).map(({ value: one, label }) => ({ value: `${one}`, label }));
  return (
    <Select
      {...common(props)}
      data={choices}
      value={value === undefined || value === null ? null : `${value}`}
      placeholder={placeholder ?? 'Choose'}
      clearable={required !== true}
      clearButtonProps={{ 'aria-label': 'Use the default' }}
      onChange={(next) => onChange(options.enumOptions?.find((one) => `${one.value}` === next)?.value)}
    />
  );
}

const keeps = 'It is stored. Type to replace it, or empty it to remove it.';

/** The mask stays until somebody types; then it goes as a whole. */
export function SecretInput(props: WidgetProps): ReactNode {
  const { value, onChange } = props;
  const stored = value === mask;
  const typed = (text: string): void => {
    const rest = stored && text.startsWith(mask) ? text.slice(mask.length) : text;
    onChange(rest || undefined);
  };
  return (
    <PasswordInput
      {...common(props)}
      description={
        <>
          {props.schema.description}
          {stored && `. ${keeps}`}
        </>
      }
      value={value ?? ''}
      autoComplete="new-password"
      onFocus={({ currentTarget }) => currentTarget.select()}
      onChange={({ currentTarget }) => typed(currentTarget.value)}
    />
  );
}

const maxFile = 200_000;

/** PEM text, pasted or from a file. A stored private key shows only that it is there. */
export function PemInput(props: WidgetProps): ReactNode {
  const { value, onChange } = props;
  const [tooLarge, setTooLarge] = useState(false);
  const stored = value === mask;
  const choose = async (file: File | null): Promise<void> => {
    if (file === null) return;
    setTooLarge(file.size > maxFile);
    if (file.size <= maxFile) onChange(await file.text());
  };
  const shared = common(props);
  return (
    <div>
      <Textarea
        {...shared}
        description={
          <>
            {props.schema.description}
            {stored && `. ${keeps}`}
          </>
        }
        error={tooLarge ? `The file is larger than ${maxFile / 1000} kB` : shared.error}
        value={value ?? ''}
        autosize
        minRows={stored || !value ? 1 : 3}
        maxRows={8}
        spellCheck={false}
        styles={{ input: { fontFamily: 'monospace', fontSize: 12 } }}
        onFocus={({ currentTarget }) => stored && currentTarget.select()}
        onChange={({ currentTarget }) => {
          const text = currentTarget.value;
          onChange((stored && text.startsWith(mask) ? text.slice(mask.length) : text) || undefined);
        }}
      />
      {!shared.disabled && (
        <FileButton onChange={(file) => void choose(file)} accept=".pem,.crt,.cer,.key,.txt">
          {(button) => (
            <Button {...button} variant="subtle" size="compact-xs" mt={4}>
              Choose a file for {shared.label}
            </Button>
          )}
        </FileButton>
      )}
    </div>
  );
}

/** Addresses of one cluster, which the API takes as one text with commas. */
export function ServersInput(props: WidgetProps): ReactNode {
  const { value, onChange } = props;
  const servers: string[] = typeof value === 'string' && value !== '' ? value.split(',') : [''];
  const shared = common(props);
  const set = (next: string[]): void => onChange(next.length === 1 ? next[0] || undefined : next.join(','));
  return (
    <div>
      {servers.map((server, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: addresses change while they are typed
        <Group key={index} gap="xs" wrap="nowrap" align="flex-end">
          <TextInput
            flex={1}
            mt={index === 0 ? 0 : 4}
            id={index === 0 ? shared.id : `${shared.id}-${index}`}
            {...(index === 0
              ? { label: shared.label, description: shared.description, required: shared.required }
              : { 'aria-label': `${shared.label} ${index + 1}` })}
            error={index === servers.length - 1 ? shared.error : shared.error !== undefined}
            disabled={shared.disabled}
            placeholder={props.placeholder ?? ''}
            spellCheck={false}
            value={server}
            onChange={({ currentTarget }) =>
              set(servers.map((each, at) => (at === index ? currentTarget.value : each)))
            }
          />
          {servers.length > 1 && (
            <Button
              variant="subtle"
              color="gray"
              disabled={shared.disabled}
              onClick={() => set(servers.filter((_, at) => at !== index))}
              aria-label={`Remove server ${index + 1}`}
            >
              Remove
            </Button>
          )}
        </Group>
      ))}
      {!shared.disabled && servers[0] !== '' && (
        <Button variant="subtle" size="compact-xs" mt={4} onClick={() => set([...servers, ''])}>
          Add a server of the same cluster
        </Button>
      )}
    </div>
  );
}

export function TagsField({
  formData,
  onChange,
  schema,
  rawErrors,
  fieldPathId,
  ...rest
}: FieldProps): ReactNode {
  return (
    <TagsInput
      id={fieldPathId.$id}
      label={schema.title}
      description={`${schema.description ? `${schema.description}. ` : ''}Press Enter after each.`}
      required={rest.required ?? false}
      disabled={(rest.disabled ?? false) || (rest.readonly ?? false)}
      error={said(rawErrors)}
      value={Array.isArray(formData) ? formData.map(String) : []}
      acceptValueOnBlur
      splitChars={[]}
      onChange={(next) => onChange(next.length === 0 ? undefined : next, fieldPathId.path)}
    />
  );
}

export function MapField({
  formData,
  onChange,
  schema,
  rawErrors,
  fieldPathId,
  ...rest
}: FieldProps): ReactNode {
  const given = isObject(formData) ? formData : {};
  return (
    <KeyValues
      label={schema.title ?? rest.name}
      description={schema.description}
      value={Object.fromEntries(Object.entries(given).map(([name, value]) => [name, `${value ?? ''}`]))}
      error={said(rawErrors)}
      disabled={(rest.disabled ?? false) || (rest.readonly ?? false)}
      onChange={(next) => onChange(Object.keys(next).length === 0 ? undefined : next, fieldPathId.path)}
    />
  );
}

/** Errors that belong to no input of their own. */
export const Errors = ({ errors }: { errors: readonly string[] }): ReactNode =>
  errors.length === 0 ? null : (
    <Text size="xs" c="var(--mantine-color-error)" role="alert">
      {errors.join('\n')}
    </Text>
  );
