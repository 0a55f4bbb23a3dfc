import { ActionIcon, Box, Button, CopyButton, Group, Tooltip } from '@mantine/core';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { type ReactNode, useMemo, useState } from 'react';
import { count } from './format.ts';

/** Text from elsewhere: names and payloads that may hold anything. It is shown, never run. */

/** Control characters, and those that reorder or hide text. */
const unseen = /[\p{Cc}\p{Cf}\u2028\u2029\ufffe\uffff]/gu;

/** Replaces characters that cannot be seen by their code, as in `\u202e`; keeps line breaks and tabs. */
export const visible = (text: string): string =>
  text.replaceAll(unseen, (char) =>
    char === '\n' || char === '\t' ? char : `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );

/** Visible text on one line, cut after `max` characters. */
export const oneLine = (text: string, max: number): string =>
  visible(text.length > max ? `${text.slice(0, max)}…` : text).replaceAll(/[\n\t]/g, ' ');

const maxName = 200;

/** A name or a short value on one line. */
export function Name({ children }: { children: string }): ReactNode {
  const text = oneLine(children, maxName);
  return <bdi title={text.length > 40 ? text : undefined}>{text}</bdi>;
}

export function Copy({ value, label }: { value: string; label: string }): ReactNode {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : label}>
          <ActionIcon variant="subtle" color={copied ? 'teal' : 'gray'} onClick={copy} aria-label={label}>
            {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** Saves a text as a file. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}

const firstShown = 4_000;
const step = 60_000;

/** Text of any length: the first part, and more on demand. `label` names it for screen readers. */
export function LongText({ text, label, mark, markEnd }: LongTextProps): ReactNode {
  const [length, setLength] = useState(firstShown);
  // Begins before the mark if that is far away.
  const [begin, setBegin] = useState(mark !== undefined && mark > firstShown / 2 ? mark - 500 : 0);
  const end = begin + length;
  const shown = useMemo(() => visible(text.slice(begin, end)), [text, begin, end]);
  const isMarked = mark !== undefined && mark >= begin && mark < end;
  return (
    <Box>
      <Group justify={begin > 0 ? 'space-between' : 'flex-end'} gap="xs">
        {begin > 0 && (
          <Button variant="subtle" size="compact-sm" onClick={() => setBegin(0)}>
            Show from the beginning ({count(begin)} characters before)
          </Button>
        )}
        <Copy value={text} label={`Copy ${label}`} />
      </Group>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it (WCAG 2.1.1) */}
      <section className="long-text" aria-label={label} tabIndex={0}>
        <pre>
          {isMarked ? marked(text.slice(begin, end), mark - begin, (markEnd ?? mark + 1) - begin) : shown}
        </pre>
      </section>
      {text.length > end && (
        <Button variant="subtle" size="compact-sm" onClick={() => setLength(length + step)}>
          Show more ({count(text.length - end)} characters left)
        </Button>
      )}
    </Box>
  );
}

interface LongTextProps {
  text: string;
  label: string;
  /** Position of a character to mark, such as the place of an error. */
  mark?: number | undefined;
  /** Position after the last character to mark; one character if left out. */
  markEnd?: number | undefined;
}

const marked = (text: string, at: number, end: number): ReactNode => (
  <>
    {visible(text.slice(0, at))}
    <mark>{visible(text.slice(at, end)) || ' '}</mark>
    {visible(text.slice(end))}
  </>
);

const maxPretty = 200_000;
const maxIndent = 24;

/**
 * JSON with line breaks. It works on the text, so numbers keep all their digits and depth costs nothing. Returns the text
 * as it is if it is very long.
 */
export function pretty(json: string): string {
  if (json.length > maxPretty) return json;
  const lines: string[] = [];
  let line = '';
  let depth = 0;
  const next = (): void => {
    lines.push(line);
    line = '  '.repeat(Math.min(depth, maxIndent));
  };
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s"{}[\],:]+/g)) {
    if (token === '}' || token === ']') {
      depth = Math.max(0, depth - 1);
      next();
    }
    line += token === ':' ? ': ' : token;
    if (token === '{' || token === '[') depth++;
    if (token === ',' || token === '{' || token === '[') next();
  }
  lines.push(line);
  return lines.join('\n').replaceAll(/([{[])\n\s*([}\]])/g, '$1$2');
}

/** A value as JSON, on several lines; big integers with all their digits. */
export const prettyValue = (value: unknown): string =>
  pretty(
    JSON.stringify(value, (_, inner) =>
      typeof inner === 'bigint'
        ? ((JSON as { rawJSON?(text: string): unknown }).rawJSON?.(`${inner}`) ?? `${inner}`)
        : inner,
    ) ?? '',
  );

/** Parses JSON without rounding: integers that a number cannot hold become bigint. */
export const parseExact = <T,>(json: string): T =>
  JSON.parse(json, (_key, value, context?: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context?.source ?? 0)
      : value,
  ) as T;
