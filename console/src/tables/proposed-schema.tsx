import {
  Badge,
  Box,
  Button,
  Checkbox,
  Group,
  MultiSelect,
  NativeSelect,
  Progress,
  Stack,
  Table,
  Text,
  TextInput,
} from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { memo, type ReactNode, useCallback, useMemo, useState } from 'react';
import { type ConnectionSchema, type ConnectorDetail, call, type InferredSchema } from '../api/client.ts';
import { useConnector } from '../parts/connectors.tsx';
import { count } from '../parts/format.ts';
import { Problem } from '../parts/parts.tsx';
import { Name, visible } from '../parts/text.tsx';
import {
  type Change,
  type Changes,
  type FieldType,
  type Line,
  linesOf,
  type MetadataNames,
  metadataOf,
  schemaWith,
  typesFor,
  unseenOf,
} from './proposal.ts';

interface ProposedSchemaProps {
  report: InferredSchema;
  current: ConnectionSchema | null;
  connector: string;
  onSchema(schema: ConnectionSchema): void;
}

const firstShown = 60;

/** The proposal, to change and take over. */
export function ProposedSchema({ report, current, connector, onSchema }: ProposedSchemaProps): ReactNode {
  const proposed = report.schema as ConnectionSchema;
  const [changes, setChanges] = useState<Changes>({});
  const [metadata, setMetadata] = useState<MetadataNames>(() => metadataOf(current));
  const unseen = useMemo(() => unseenOf(current, proposed), [current, proposed]);
  const lines = useMemo(() => linesOf(report, unseen), [report, unseen]);
  const { data } = useConnector(connector);
  const columns = data?.metadata_columns ?? [];
  const take = useMutation({
    async mutationFn() {
      const schema = schemaWith({ schema: proposed, unseen, changes, metadata, current, columns });
      await call('testConnectionSchema', { body: schema });
      onSchema(schema);
    },
  });
  const change = useCallback(
    (path: string, next: Change) =>
      setChanges((before) => ({ ...before, [path]: { ...before[path], ...next } })),
    [],
  );
  return (
    <Stack gap="sm">
      <Group gap="xs">
        <Badge variant="light" tt="none">
          format {visible(proposed.format?.type ?? 'none')}
        </Badge>
        {proposed.framing && (
          <Badge variant="light" tt="none">
            a row for each line
          </Badge>
        )}
      </Group>
      <FieldTable lines={lines} changes={changes} onChange={change} />
      <MetadataColumns columns={columns} names={metadata} onNames={setMetadata} />
      <Problem error={take.error} title="This schema cannot be used" />
      <Group>
        <Button onClick={() => take.mutate()} loading={take.isPending}>
          Use this schema
        </Button>
        <Text size="sm" c="dimmed" role="status">
          {take.isSuccess ? 'Taken over. Save the table to use it.' : 'Nothing is saved yet.'}
        </Text>
      </Group>
    </Stack>
  );
}

function FieldTable({ lines, changes, onChange }: FieldTableProps): ReactNode {
  const [shown, setShown] = useState(firstShown);
  const left = useMemo(() => {
    const out = Object.keys(changes).filter((path) => changes[path]?.left);
    return (path: string): boolean => out.some((one) => path === one || path.startsWith(`${one}/`));
  }, [changes]);
  if (lines.length === 0) return null;
  return (
    <>
      <Table.ScrollContainer minWidth={520}>
        <Table verticalSpacing={4} fz="sm" aria-label="Fields">
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={44}>Use</Table.Th>
              <Table.Th>Field</Table.Th>
              <Table.Th w={120}>Type</Table.Th>
              <Table.Th w={80}>Required</Table.Th>
              <Table.Th w={110}>Seen in</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {lines.slice(0, shown).map((line) => (
              <FieldLine
                key={`${line.path} ${line.unseen}`}
                line={line}
                change={changes[line.path]}
                left={left(line.path)}
                onChange={onChange}
              />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {lines.length > shown && (
        <Button variant="subtle" size="compact-sm" onClick={() => setShown(shown + firstShown * 2)}>
          Show more ({count(lines.length - shown)} fields left)
        </Button>
      )}
    </>
  );
}

interface FieldTableProps {
  lines: readonly Line[];
  changes: Changes;
  onChange(path: string, change: Change): void;
}

const FieldLine = memo(function FieldLine({ line, change, left, onChange }: FieldLineProps): ReactNode {
  const { path, depth, field, evidence } = line;
  const { type = field.type, required = field.required ?? false } = change ?? {};
  const label = visible(path.slice(1, 200));
  return (
    <Table.Tr>
      <Table.Td>
        <Checkbox
          size="xs"
          aria-label={`Use ${label}`}
          checked={!left}
          disabled={left && !change?.left}
          onChange={({ currentTarget }) => onChange(path, { left: !currentTarget.checked })}
        />
      </Table.Td>
      <Table.Td>
        <Box pl={Math.min(depth, 8) * 16} style={{ overflowWrap: 'anywhere' }}>
          <Text size="sm" ff="monospace" td={left ? 'line-through' : undefined}>
            <Name>{field.name}</Name>
          </Text>
          {evidence?.note && (
            <Text size="xs" c="dimmed">
              {visible(evidence.note)}
            </Text>
          )}
          {line.unseen && depth === 0 && (
            <Text size="xs" c="dimmed">
              The table has it, but no message of this sample.
            </Text>
          )}
        </Box>
      </Table.Td>
      <Table.Td>
        <NativeSelect
          size="xs"
          aria-label={`Type of ${label}`}
          data={typesFor(field)}
          value={type}
          disabled={left}
          onChange={({ currentTarget }) => onChange(path, { type: currentTarget.value as FieldType })}
        />
      </Table.Td>
      <Table.Td>
        <Checkbox
          size="xs"
          aria-label={`Require ${label}`}
          checked={required}
          disabled={left}
          onChange={({ currentTarget }) => onChange(path, { required: currentTarget.checked })}
        />
      </Table.Td>
      <Table.Td>
        <Support evidence={evidence} />
      </Table.Td>
    </Table.Tr>
  );
});

interface FieldLineProps {
  line: Line;
  change: Change | undefined;
  /** Whether it, or a field around it, is left out. */
  left: boolean;
  onChange(path: string, change: Change): void;
}

function Support({ evidence }: { evidence: Line['evidence'] }): ReactNode {
  if (evidence === undefined)
    return (
      <Text size="xs" c="dimmed">
        –
      </Text>
    );
  const { present, of, types } = evidence;
  const share = of === 0 ? 0 : (present / of) * 100;
  const kinds = Object.entries(types);
  return (
    <>
      <Text size="xs" style={{ whiteSpace: 'nowrap' }}>
        {Math.floor(share)} %{' '}
        <Text span size="xs" c="dimmed">
          {count(present)} of {count(of)}
        </Text>
      </Text>
      <Progress value={share} size={4} aria-hidden />
      {kinds.length > 1 && (
        <Text size="xs" c="dimmed">
          {kinds.map(([type, values]) => `${count(values)} ${visible(type)}`).join(', ')}
        </Text>
      )}
    </>
  );
}

/** Columns that the connector fills, such as the topic. */
function MetadataColumns({ columns, names, onNames }: MetadataColumnsProps): ReactNode {
  const offered = columns.filter(({ name, type }) => type !== 'list' || names[name] !== undefined);
  if (offered.length === 0) return null;
  const chosen = Object.keys(names);
  return (
    <Stack gap="xs">
      <MultiSelect
        label="Columns from the metadata"
        description="They say where a message came from, such as its topic."
        data={offered.map(({ name }) => name)}
        value={chosen}
        onChange={(keys) => onNames(Object.fromEntries(keys.map((key) => [key, names[key] ?? key])))}
        searchable
        clearable
      />
      {chosen.map((key) => (
        <TextInput
          key={key}
          size="xs"
          maw={320}
          label={`Name of the column with ${key}`}
          maxLength={256}
          value={names[key]}
          onChange={({ currentTarget }) => onNames({ ...names, [key]: currentTarget.value })}
        />
      ))}
    </Stack>
  );
}

interface MetadataColumnsProps {
  columns: ConnectorDetail['metadata_columns'];
  names: MetadataNames;
  onNames(names: MetadataNames): void;
}
