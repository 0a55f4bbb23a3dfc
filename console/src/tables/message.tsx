import { Badge, Box, Code, Group, List, Stack, Text, UnstyledButton } from '@mantine/core';
import { IconChevronDown, IconChevronRight } from '@tabler/icons-react';
import { memo, type ReactNode, useMemo, useState } from 'react';
import type { TailEvent } from '../api/client.ts';
import { bytes, clockTime, localTime, utcTime } from '../parts/format.ts';
import { HexDump } from '../parts/hex.tsx';
import { children, unquoted } from '../parts/json-text.ts';
import { Metadata } from '../parts/metadata.tsx';
import { placeOfError } from '../parts/place.ts';
import { Copy, LongText, Name, pretty, visible } from '../parts/text.tsx';

/** One message of a source: its metadata, and its row or what is wrong with it. */

/** An event with its row and metadata as JSON text, which keeps big integers and costs nothing if deep. */
export interface Shown extends Omit<TailEvent, 'row' | 'metadata'> {
  rowText: string | null;
  metadataText: string | null;
}

export function readEvent(json: string): Shown {
  const event: Record<string, unknown> = {};
  const texts: Record<string, string | null> = {};
  for (const { key, start, end } of children(json)) {
    const text = json.slice(start, end);
    if (key === 'row' || key === 'metadata') texts[key] = text === 'null' ? null : text;
    else event[key] = JSON.parse(text);
  }
  const { row: rowText = null, metadata: metadataText = null } = texts;
  return { ...(event as unknown as Shown), rowText, metadataText };
}

export const isMessage = ({ name }: Shown): boolean => name === 'row' || name === 'bad_message';

const maxCells = 12;
const maxCell = 60;
/** A longer text is cut in a line. */
const maxName = 200;

/** Text of an event that a filter looks through. */
export const searched = ({ message, rowText, metadataText, payload }: Shown): string =>
  `${metadataText ?? ''}\n${rowText ?? ''}\n${payload?.text ?? ''}\n${message}`.toLowerCase();

/** A message on one line, which unfolds. */
export const MessageItem = memo(function MessageItem({ event }: { event: Shown }): ReactNode {
  const [open, setOpen] = useState(false);
  const { error, rowText, payload, received_at: at } = event;
  const topic = useMemo(() => metadataOf(event, 'topic'), [event]);
  const copied = rowText ?? payload?.text ?? payload?.base64 ?? event.message;
  return (
    <Box component="li" py={2} style={{ borderBottom: '1px solid var(--mantine-color-default-border)' }}>
      <Group wrap="nowrap" gap={4} align="flex-start">
        <UnstyledButton
          onClick={() => setOpen(!open)}
          aria-expanded={open}
          style={{ flex: 1, minWidth: 0 }}
          py={2}
        >
          <Group gap={6} wrap="nowrap" align="flex-start">
            <Box pt={2} c="dimmed">
              {open ? <IconChevronDown size={14} /> : <IconChevronRight size={14} />}
            </Box>
            <Box style={{ flex: 1, minWidth: 0 }}>
              <Group gap={8}>
                {at !== undefined && (
                  <Text component="time" size="xs" c="dimmed" title={`${localTime(at)} · ${utcTime(at)}`}>
                    {clockTime(at)}
                  </Text>
                )}
                {topic !== undefined && (
                  <Text size="xs" fw={600} component="span" style={{ overflowWrap: 'anywhere' }}>
                    <Name>{topic}</Name>
                  </Text>
                )}
                <Flags event={event} />
              </Group>
              <Text
                size="xs"
                ff="monospace"
                component="span"
                display="block"
                style={{ overflowWrap: 'anywhere' }}
              >
                {error || rowText === null ? (
                  <Text size="xs" span c={error ? 'var(--mantine-color-error)' : 'dimmed'}>
                    <Name>{event.message}</Name>
                  </Text>
                ) : (
                  <Cells row={rowText} />
                )}
              </Text>
            </Box>
          </Group>
        </UnstyledButton>
        <Copy value={copied} label="Copy message" />
      </Group>
      {open && <Details event={event} />}
    </Box>
  );
});

const metadataOf = ({ metadataText }: Shown, name: string): string | undefined => {
  if (metadataText === null) return undefined;
  for (const { key, start, end } of children(metadataText))
    if (key === name) return unquoted(metadataText.slice(start, end));
  return undefined;
};

function Flags({ event }: { event: Shown }): ReactNode {
  const qos = metadataOf(event, 'qos');
  return (
    <>
      {qos !== undefined && (
        <Text size="xs" c="dimmed" component="span">
          QoS {visible(qos.slice(0, 8))}
        </Text>
      )}
      {metadataOf(event, 'retain') === 'true' && (
        <Badge size="xs" variant="default">
          retained
        </Badge>
      )}
      {event.bytes !== undefined && (
        <Text size="xs" c="dimmed" component="span">
          {bytes(event.bytes)}
        </Text>
      )}
      {event.error && (
        <Badge size="xs" color="red" variant="light" tt="none">
          {event.code ?? 'bad message'}
        </Badge>
      )}
    </>
  );
}

function Cells({ row }: { row: string }): ReactNode {
  const [cells, more] = useMemo(() => {
    const found: [string, string][] = [];
    for (const { key, start, end } of children(row)) {
      if (found.length === maxCells) return [found, true];
      const text = row.slice(start, Math.min(end, start + maxCell));
      found.push([key, end - start > maxCell ? `${text}…` : text]);
    }
    return [found, false];
  }, [row]);
  return (
    <>
      {cells.map(([name, text]) => (
        <span key={name}>
          <Text span c="dimmed" size="xs" ff="monospace">
            <Name>{name}</Name>{' '}
          </Text>
          <Name>{text}</Name>
          {'  '}
        </span>
      ))}
      {more && '…'}
    </>
  );
}

function Details({ event }: { event: Shown }): ReactNode {
  const { message, errors = [], rowText, metadataText, payload } = event;
  const row = useMemo(() => (rowText === null ? undefined : pretty(rowText)), [rowText]);
  return (
    <Stack gap="xs" pl="lg" pr={4} pb="sm">
      {message.length > maxName && (
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          {visible(message)}
        </Text>
      )}
      {errors.some(({ path }) => path !== '') && (
        <List size="sm">
          {errors.map(({ path, message }) => (
            <List.Item key={`${path} ${message}`}>
              <Code>{visible(path)}</Code> {visible(message)}
            </List.Item>
          ))}
        </List>
      )}
      {row !== undefined && <LongText text={row} label="Row" />}
      {payload && <Payload event={event} payload={payload} />}
      {metadataText !== null && <Metadata json={metadataText} />}
    </Stack>
  );
}

function Payload({ event, payload }: PayloadProps): ReactNode {
  const place = useMemo(() => {
    const [error = { path: '', message: event.message }] = event.errors ?? [];
    return placeOfError(error, event.message, payload.text);
  }, [event, payload]);
  return (
    <>
      {payload.text !== null ? (
        <LongText text={payload.text} label="Payload" mark={place?.text?.start} markEnd={place?.text?.end} />
      ) : (
        <HexDump base64={payload.base64 ?? ''} label="Payload in hexadecimal" mark={place?.byte} />
      )}
      {payload.truncated && (
        <Text size="xs" c="dimmed">
          Only the first part of the payload is shown, of {bytes(event.bytes ?? 0)} in all.
        </Text>
      )}
    </>
  );
}

interface PayloadProps {
  event: Shown;
  payload: NonNullable<Shown['payload']>;
}
