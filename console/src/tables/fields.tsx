import { ActionIcon, Button, Checkbox, Group, Menu, Table, Text, TextInput } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import type { ConnectorDetail, Field, ListItem } from '../api/client.ts';
import { errorsBelow, type FieldErrors } from '../parts/form-values.ts';
import { TypeInputs } from './field-type.tsx';

/** The columns of a table: names, types, fields of structs and items of lists. */

/** More rows than these are shown on demand, because each one is several inputs. */
const firstShown = 100;

type Metadata = ConnectorDetail['metadata_columns'];

interface FieldsProps {
  fields: readonly Field[];
  onChange(fields: Field[]): void;
  /** Errors by pointer into the list. */
  errors: FieldErrors;
  metadata: Metadata;
  disabled: boolean;
}

export function Fields(props: FieldsProps): ReactNode {
  const { fields, onChange, metadata, disabled } = props;
  const offered = metadata.filter(({ name }) => !fields.some(({ metadata_key: key }) => key === name));
  const add = (field: Field): void => onChange([...fields, field]);
  return (
    <div>
      {fields.length > 0 && (
        <Table.ScrollContainer minWidth={620}>
          <Table aria-label="Columns" verticalSpacing={4} withRowBorders={false}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Name</Table.Th>
                <Table.Th w={290}>Type</Table.Th>
                <Table.Th w={90}>Required</Table.Th>
                <Table.Th w={40} aria-label="Actions" />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              <Rows {...props} depth={0} path="" />
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {!disabled && (
        <Group gap="xs" mt="xs">
          <Button
            variant="subtle"
            size="compact-sm"
            leftSection={<IconPlus size={14} />}
            onClick={() => add({ name: '', type: 'string' })}
          >
            Add a column
          </Button>
          {offered.length > 0 && (
            <Menu position="bottom-start">
              <Menu.Target>
                <Button variant="subtle" size="compact-sm" leftSection={<IconPlus size={14} />}>
                  Add a metadata column
                </Button>
              </Menu.Target>
              <Menu.Dropdown>
                {offered.map(({ name, type, description }) => (
                  <Menu.Item
                    key={name}
                    onClick={() => add({ name, type: type as Field['type'], metadata_key: name })}
                  >
                    {name}
                    <Text size="xs" c="dimmed">
                      {description}
                    </Text>
                  </Menu.Item>
                ))}
              </Menu.Dropdown>
            </Menu>
          )}
        </Group>
      )}
    </div>
  );
}

interface Level {
  depth: number;
  /** Names of the fields around, for labels. */
  path: string;
}

function Rows({ fields, onChange, errors, depth, path, ...rest }: FieldsProps & Level): ReactNode {
  const [shown, setShown] = useState(firstShown);
  const set = (at: number, field: Field): void =>
    onChange(fields.map((each, index) => (index === at ? field : each)));
  return (
    <>
      {fields.slice(0, shown).map((field, index) => (
        <Row
          // biome-ignore lint/suspicious/noArrayIndexKey: names change while they are typed
          key={index}
          {...rest}
          field={field}
          errors={errorsBelow(errors, `/${index}`)}
          depth={depth}
          path={path}
          label={`${path}${field.name || `column ${index + 1}`}`}
          onChange={(next) => set(index, next)}
          onRemove={() => onChange(fields.filter((_, at) => at !== index))}
        />
      ))}
      {fields.length > shown && (
        <Table.Tr>
          <Table.Td colSpan={4}>
            <Button variant="subtle" size="compact-sm" onClick={() => setShown(shown + 200)}>
              Show more columns ({fields.length - shown} left)
            </Button>
          </Table.Td>
        </Table.Tr>
      )}
    </>
  );
}

interface RowProps extends Level {
  field: Field;
  label: string;
  errors: FieldErrors;
  metadata: Metadata;
  disabled: boolean;
  onChange(field: Field): void;
  onRemove(): void;
}

const maxDepth = 12;

function Row(props: RowProps): ReactNode {
  const { field, label, errors, depth, disabled, metadata, onChange, onRemove } = props;
  const problems = Object.entries(errors)
    .filter(([path]) => !/^\/(fields|items)\//.test(path))
    .flatMap(([, messages]) => messages);
  const inner = innerFields(field);
  return (
    <>
      <Table.Tr>
        <Table.Td pl={depth * 20 + 8} valign="top">
          <TextInput
            size="xs"
            aria-label={`Name of ${label}`}
            value={field.name}
            disabled={disabled}
            spellCheck={false}
            error={problems.join('\n') || undefined}
            onChange={({ currentTarget }) => onChange({ ...field, name: currentTarget.value })}
          />
          {field.metadata_key && (
            <Text size="xs" c="dimmed">
              from the metadata “{field.metadata_key}”
            </Text>
          )}
        </Table.Td>
        <Table.Td valign="top">
          <TypeInputs
            value={field}
            label={label}
            disabled={disabled}
            onChange={(next) => onChange({ ...field, ...next })}
          />
        </Table.Td>
        <Table.Td valign="top">
          <Checkbox
            mt={6}
            aria-label={`${label} is required`}
            checked={field.required === true}
            disabled={disabled}
            onChange={({ currentTarget }) => onChange({ ...field, required: currentTarget.checked })}
          />
        </Table.Td>
        <Table.Td valign="top">
          {!disabled && (
            <ActionIcon variant="subtle" color="gray" aria-label={`Remove ${label}`} onClick={onRemove}>
              <IconX size={16} />
            </ActionIcon>
          )}
        </Table.Td>
      </Table.Tr>
      {inner !== undefined && depth < maxDepth && (
        <>
          <Rows
            fields={inner.fields}
            onChange={(fields) => onChange(withInnerFields(field, fields))}
            errors={errorsBelow(errors, inner.pointer)}
            metadata={metadata}
            disabled={disabled}
            depth={depth + 1}
            path={`${label}.`}
          />
          {!disabled && (
            <Table.Tr>
              <Table.Td colSpan={4} pl={(depth + 1) * 20 + 8}>
                <Button
                  variant="subtle"
                  size="compact-xs"
                  leftSection={<IconPlus size={14} />}
                  onClick={() =>
                    onChange(withInnerFields(field, [...inner.fields, { name: '', type: 'string' }]))
                  }
                >
                  Add a field to {label}
                </Button>
              </Table.Td>
            </Table.Tr>
          )}
        </>
      )}
    </>
  );
}

/** The fields within a struct, or within the structs of a list. */
function innerFields(field: Field | ListItem): { fields: Field[]; pointer: string } | undefined {
  if (field.type === 'struct') return { fields: field.fields ?? [], pointer: '/fields' };
  if (field.type !== 'list' || field.items === undefined) return undefined;
  const inner = innerFields(field.items);
  return inner && { fields: inner.fields, pointer: `/items${inner.pointer}` };
}

function withInnerFields<F extends Field | ListItem>(field: F, fields: Field[]): F {
  if (field.type === 'struct') return { ...field, fields };
  return field.items === undefined ? field : { ...field, items: withInnerFields(field.items, fields) };
}
