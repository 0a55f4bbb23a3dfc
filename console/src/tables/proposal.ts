import type { ConnectionSchema, ConnectorDetail, Field, InferredSchema } from '../api/client.ts';

/** A proposed schema with the changes of its user. */

export type FieldType = Field['type'];
type Evidence = InferredSchema['fields'][number];

/** A column, or a member of one, of the proposal or of the table as it is. */
export interface Line {
  path: string;
  depth: number;
  field: Field;
  evidence: Evidence | undefined;
  /** Whether only the table has it: no message of the sample did. */
  unseen: boolean;
}

/** Changes of one field, by its path. */
export interface Change {
  left?: boolean;
  type?: FieldType;
  required?: boolean;
}
export type Changes = Readonly<Record<string, Change>>;

/** Names of the metadata columns, by their keys. */
export type MetadataNames = Readonly<Record<string, string>>;

const below = (path: string, name: string): string =>
  `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;

const isMetadata = ({ metadata_key: key }: Field): boolean => typeof key === 'string';

/** Fields of the table that the sample does not have. They stay unless the user leaves them out. */
export function unseenOf(current: ConnectionSchema | null, proposed: ConnectionSchema): Field[] {
  if ((current?.format?.type ?? undefined) !== proposed.format?.type) return [];
  const names = new Set(proposed.fields?.map(({ name }) => name));
  return (current?.fields ?? []).filter((field) => !isMetadata(field) && !names.has(field.name));
}

export function linesOf({ schema, fields: evidence }: InferredSchema, unseen: readonly Field[]): Line[] {
  const byPath = new Map(evidence.map((one) => [one.path, one]));
  const lines: Line[] = [];
  const add = (fields: readonly Field[], parent: string, depth: number, isUnseen: boolean): void => {
    for (const field of fields) {
      if (isMetadata(field)) continue;
      const path = below(parent, field.name);
      lines.push({ path, depth, field, evidence: byPath.get(path), unseen: isUnseen });
      add(field.fields ?? field.items?.fields ?? [], field.items ? `${path}/*` : path, depth + 1, isUnseen);
    }
  };
  add(schema?.fields ?? [], '', 0, false);
  add(unseen, '', 0, true);
  return lines;
}

/** Types that a field can be given instead; those that need more than a name only if it has one of them. */
export function typesFor({ type }: Field): FieldType[] {
  const simple: FieldType[] = ['string', 'int64', 'float64', 'bool', 'timestamp', 'json'];
  const other: FieldType[] = ['int32', 'uint32', 'uint64', 'float32', 'bytes'];
  return [type, ...[...simple, ...other].filter((one) => one !== type)];
}

/** The schema with all changes, ready for a table. It keeps what the table says beside its fields. */
export function schemaWith({
  schema,
  unseen,
  changes,
  metadata,
  current,
  columns,
}: Chosen): ConnectionSchema {
  const chosen = [
    ...changed([...(schema.fields ?? []), ...unseen], '', changes),
    ...metadataFields(metadata, columns, current),
  ];
  const names = new Set(chosen.map(({ name }) => name));
  const keys = current?.primary_keys?.filter((name) => names.has(name)) ?? [];
  return {
    ...schema,
    ...(current?.bad_data ? { bad_data: current.bad_data } : {}),
    ...(current?.time ? { time: current.time } : {}),
    ...(keys.length > 0 ? { primary_keys: keys } : {}),
    ...(schema.fields === undefined && chosen.length === 0 ? {} : { fields: chosen }),
  };
}

interface Chosen {
  schema: ConnectionSchema;
  unseen: readonly Field[];
  changes: Changes;
  metadata: MetadataNames;
  current: ConnectionSchema | null;
  columns: ConnectorDetail['metadata_columns'];
}

function changed(fields: readonly Field[], parent: string, changes: Changes): Field[] {
  return fields.flatMap((field): Field[] => {
    const path = below(parent, field.name);
    const { left = false, type = field.type, required = field.required } = changes[path] ?? {};
    if (left) return [];
    if (type !== field.type) return [{ name: field.name, type, ...(required ? { required } : {}) }];
    const { required: _, ...rest } = field;
    return [
      {
        ...rest,
        ...(field.fields ? { fields: changed(field.fields, path, changes) } : {}),
        ...(field.items?.fields
          ? { items: { ...field.items, fields: changed(field.items.fields, `${path}/*`, changes) } }
          : {}),
        ...(required ? { required } : {}),
      },
    ];
  });
}

const metadataFields = (
  names: MetadataNames,
  columns: ConnectorDetail['metadata_columns'],
  current: ConnectionSchema | null,
): Field[] =>
  columns
    .filter(({ name }) => names[name] !== undefined)
    .map(({ name, type }) => ({
      ...(current?.fields?.find(({ metadata_key: key }) => key === name) ?? {
        type: type as FieldType,
        ...(type === 'timestamp' ? { unit: 'microsecond' as const } : {}),
        metadata_key: name,
      }),
      name: names[name] as string,
    }));

/** Metadata columns that the table has. */
export const metadataOf = (current: ConnectionSchema | null): MetadataNames =>
  Object.fromEntries(
    (current?.fields ?? []).flatMap(({ name, metadata_key: key }) => (key ? [[key, name]] : [])),
  );
