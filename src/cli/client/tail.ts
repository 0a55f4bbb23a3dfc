import { exitCodes } from '../commands.ts';
import { type Request, usageError } from './command.ts';
import { clean } from './draw.ts';
import { byName } from './objects.ts';

/** Shows the messages of a table; each event as one line of JSON, if the answer is for a program. */
export async function tail({ server, terminal, words, values, json }: Request): Promise<number> {
  const query = { seconds: count(values.seconds, 'seconds'), rows: count(values.rows, 'rows') };
  const { id } = await byName(server, 'table', words[0] as string);
  let last: TailEvent | undefined;
  for await (const text of server.events(`/connection_tables/${id}/tail`, { query })) {
    last = parseExact(text);
    terminal.print(json ? text : drawEvent(last));
  }
  if (!last?.done) terminal.complain('penstock: the server ended it');
  return last?.done && !last.error ? exitCodes.ok : exitCodes.failed;
}

interface TailEvent {
  error: boolean;
  done: boolean;
  name: string;
  message: string;
  row?: object;
  metadata?: { topic?: string };
  code?: string | null;
}

function drawEvent({ name, message, row, code }: TailEvent): string {
  if (name === 'row') return clean(JSON.stringify(row ?? {}));
  return code ? `# ${code}: ${clean(message)}` : `# ${clean(message)}`;
}

/** Whole numbers beyond what a double holds stay as they were written. */
const parseExact = (text: string): TailEvent =>
  JSON.parse(text, ((_name, value, ...context: unknown[]) => {
    const { source } = (context[0] ?? {}) as { source?: string };
    const exact = JSON as unknown as { rawJSON(text: string): unknown };
    return typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '')
      ? exact.rawJSON(source as string)
      : value;
  }) as (this: unknown, key: string, value: unknown) => unknown) as TailEvent;

function count(given: string | boolean | undefined, what: string): string | undefined {
  if (given === undefined || /^[1-9]\d{0,5}$/.test(String(given))) return given as string | undefined;
  throw usageError(`--${what} must be a whole number`);
}
