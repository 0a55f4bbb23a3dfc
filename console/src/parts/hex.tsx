import { Button, Group } from '@mantine/core';
import { type ReactNode, useMemo, useState } from 'react';
import { bytes as size } from './format.ts';
import { Copy } from './text.tsx';

/** Bytes as people read them: offset, hexadecimal, ASCII. */

const perLine = 16;
const firstLines = 32;
const moreLines = 512;

/** Bytes of base64 from `start` on; decodes no more than is asked for. */
function slice(base64: string, start: number, count: number): Uint8Array {
  const from = Math.floor(start / 3);
  const text = atob(base64.slice(from * 4, Math.ceil((start + count) / 3) * 4));
  return Uint8Array.from(text, (char) => char.charCodeAt(0)).subarray(
    start - from * 3,
    start - from * 3 + count,
  );
}

/** Number of bytes that base64 stands for. */
const lengthOf = (base64: string): number =>
  (base64.length / 4) * 3 - (/=*$/.exec(base64.slice(-2))?.[0].length ?? 0);

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const ascii = (byte: number): string => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·');

interface Line {
  offset: number;
  bytes: number[];
}

/** A hex dump, the first lines of it and more on demand. `mark` is the offset of a byte to mark. */
export function HexDump({ base64, label, mark }: HexDumpProps): ReactNode {
  const total = lengthOf(base64);
  // Begins a few lines before the mark if that is far away.
  const near = mark === undefined ? 0 : Math.floor(mark / perLine) - 8;
  const [begin, setBegin] = useState(near > firstLines - 16 ? near : 0);
  const [count, setCount] = useState(firstLines);
  const lines = useMemo(() => linesOf(base64, begin, count), [base64, begin, count]);
  const left = total - (begin + count) * perLine;
  return (
    <div>
      <Group justify="space-between" gap="xs">
        {begin > 0 ? (
          <Button variant="subtle" size="compact-sm" onClick={() => setBegin(0)}>
            Show from the beginning
          </Button>
        ) : (
          <span />
        )}
        <Copy value={base64} label={`Copy ${label} in base64`} />
      </Group>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it (WCAG 2.1.1) */}
      <section className="long-text" aria-label={label} tabIndex={0}>
        <pre style={{ whiteSpace: 'pre' }}>
          {lines.map((line) => (
            <HexLine key={line.offset} line={line} mark={mark} />
          ))}
        </pre>
      </section>
      {left > 0 && (
        <Button variant="subtle" size="compact-sm" onClick={() => setCount(count + moreLines)}>
          Show more ({size(left)} left)
        </Button>
      )}
    </div>
  );
}

interface HexDumpProps {
  base64: string;
  label: string;
  mark?: number | undefined;
}

function linesOf(base64: string, begin: number, count: number): Line[] {
  const all = slice(base64, begin * perLine, count * perLine);
  return Array.from({ length: Math.ceil(all.length / perLine) }, (_, line) => ({
    offset: (begin + line) * perLine,
    bytes: [...all.subarray(line * perLine, (line + 1) * perLine)],
  }));
}

function HexLine({ line: { offset, bytes }, mark }: { line: Line; mark: number | undefined }): ReactNode {
  const at = mark === undefined ? -1 : mark - offset;
  const codes = bytes.map((byte) => hex(byte, 2));
  const start = `${hex(offset, 8)}  `;
  const pad = ' '.repeat((perLine - bytes.length) * 3);
  if (at < 0 || at >= bytes.length) return `${start}${codes.join(' ')}${pad}  ${bytes.map(ascii).join('')}\n`;
  const joined = (parts: string[]): string => parts.map((part) => `${part} `).join('');
  return (
    <>
      {start}
      {joined(codes.slice(0, at))}
      <mark>{codes[at]}</mark> {codes.slice(at + 1).join(' ')}
      {at === bytes.length - 1 ? '' : ' '}
      {pad} {bytes.slice(0, at).map(ascii).join('')}
      <mark>{ascii(bytes[at] as number)}</mark>
      {bytes
        .slice(at + 1)
        .map(ascii)
        .join('')}
      {'\n'}
    </>
  );
}
