import { Group, NativeSelect, NumberInput } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Field, ListItem } from '../api/client.ts';

/** The type of a column, of a field of a struct, or of the items of a list. */

const types: Field['type'][] = [
  ...(['string', 'int64', 'float64', 'bool', 'timestamp', 'json', 'struct', 'list', 'bytes'] as const),
  ...(['int32', 'uint32', 'uint64', 'float32', 'decimal128'] as const),
];
const units = ['second', 'millisecond', 'microsecond', 'nanosecond'] as const;

interface TypeProps {
  value: Field | ListItem;
  label: string;
  disabled: boolean;
  onChange(value: Omit<ListItem, 'name'>): void;
}

/** A type with what it needs besides. A change of the type drops what only the former one had. */
export function TypeInputs({ value, label, disabled, onChange }: TypeProps): ReactNode {
  const { type } = value;
  const typed = (next: Field['type']): void => {
    const {
      unit: _unit,
      precision: _precision,
      scale: _scale,
      fields: _fields,
      items: _items,
      ...kept
    } = value;
    onChange({
      ...withoutName(kept),
      type: next,
      ...(next === 'decimal128' && { precision: 18, scale: 3 }),
      ...(next === 'struct' && { fields: [{ name: '', type: 'string' as const }] }),
      ...(next === 'list' && { items: { type: 'string' as const } }),
    });
  };
  return (
    <Group gap={4} wrap="nowrap" align="flex-start">
      <NativeSelect
        size="xs"
        w={112}
        aria-label={`Type of ${label}`}
        data={types}
        value={type}
        disabled={disabled}
        onChange={({ currentTarget }) => typed(currentTarget.value as Field['type'])}
      />
      {type === 'timestamp' && (
        <NativeSelect
          size="xs"
          aria-label={`Unit of ${label}`}
          data={[...units]}
          value={value.unit ?? 'millisecond'}
          disabled={disabled}
          onChange={({ currentTarget }) =>
            onChange({ ...withoutName(value), unit: currentTarget.value as (typeof units)[number] })
          }
        />
      )}
      {type === 'decimal128' &&
        (['precision', 'scale'] as const).map((part) => (
          <NumberInput
            key={part}
            size="xs"
            w={70}
            aria-label={`${part === 'scale' ? 'Scale' : 'Precision'} of ${label}`}
            title={part === 'scale' ? 'Digits after the point' : 'Total number of digits'}
            min={0}
            max={38}
            allowDecimal={false}
            value={value[part] ?? ''}
            disabled={disabled}
            onChange={(next) => onChange({ ...withoutName(value), [part]: Number(next) })}
          />
        ))}
      {type === 'list' && value.items !== undefined && (
        <TypeInputs
          value={value.items}
          label={`items of ${label}`}
          disabled={disabled}
          onChange={(items) => onChange({ ...withoutName(value), items })}
        />
      )}
    </Group>
  );
}

function withoutName<F extends Field | ListItem>(value: F): Omit<F, 'name'> {
  const { name: _, ...rest } = value;
  return rest;
}
