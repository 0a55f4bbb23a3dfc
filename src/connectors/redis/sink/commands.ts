import { PenstockError } from '../../../errors.ts';
import type { Value } from '../../../formats/format.ts';
import { type GetProperty, getterOf } from '../../../formats/values/own-property.ts';
import type { Outgoing } from '../../connector.ts';
import { redisError } from '../config/errors.ts';
import type { Target } from '../config/table.ts';
import type { Argument, Command } from '../connection/client.ts';

/** The command that writes a message. */
export interface Write {
  command: Command;
  key: string;
  /** The value that the command replaces. Of two commands with the same one only the later counts. Undefined if both count. */
  replaces: string | undefined;
  bytes: number;
}

/** Makes the commands of a sink. */
export class Commands {
  readonly #target: Target;
  readonly #key: GetProperty | undefined;
  readonly #field: GetProperty | undefined;
  readonly #maxBytes: number;

  constructor(target: Target, maxBytes: number) {
    this.#target = target;
    this.#maxBytes = maxBytes;
    this.#key = target.keyColumn === undefined ? undefined : getterOf(target.keyColumn);
    this.#field = target.type === 'hash' ? getterOf(target.fieldColumn) : undefined;
  }

  /** Throws `bad_row` or `redis_too_large` for a message that can never be written. */
  of({ payload, row }: Outgoing): Write {
    const { prefix, keyColumn } = this.#target;
    const key = this.#key ? `${prefix}${textOf(this.#key(row) as Value, keyColumn as string)}` : prefix;
    const [command, replaces] = this.#command(key, payload, row);
    const bytes = command.reduce((sum: number, part) => sum + sizeOf(part), 0);
    if (bytes > this.#maxBytes)
      throw redisError(
        'redis_too_large',
        `The message has ${bytes} bytes, and the server takes ${this.#maxBytes}`,
        {
          hint: 'Raise proto-max-bulk-len and client-query-buffer-limit at the server, or send smaller messages.',
        },
      );
    return { command, key, replaces, bytes };
  }

  /** The command that limits a key after writes to it; undefined without a limit. */
  trim(key: string): Command | undefined {
    const target = this.#target;
    if (target.type !== 'list' || target.maxLength === undefined) return undefined;
    return target.append ? ['LTRIM', key, -target.maxLength, -1] : ['LTRIM', key, 0, target.maxLength - 1];
  }

  #command(key: string, payload: Buffer, row: object): [command: Command, replaces: string | undefined] {
    const target = this.#target;
    switch (target.type) {
      case 'string':
        return [
          target.ttlSecs === undefined ? ['SET', key, payload] : ['SET', key, payload, 'EX', target.ttlSecs],
          key,
        ];
      case 'list':
        return [[target.append ? 'RPUSH' : 'LPUSH', key, payload], undefined];
      case 'hash': {
        const field = textOf((this.#field as GetProperty)(row) as Value, target.fieldColumn);
        return [['HSET', key, field, payload], `${key.length} ${key}${field}`];
      }
      case 'stream': {
        const limit = target.maxLength === undefined ? [] : (['MAXLEN', '~', target.maxLength] as const);
        const fields = target.payloadField === undefined ? fieldsOf(payload) : [target.payloadField, payload];
        return [['XADD', key, ...limit, '*', ...fields], undefined];
      }
    }
  }
}

const sizeOf = (part: Argument): number =>
  typeof part === 'number' ? 16 : typeof part === 'string' ? Buffer.byteLength(part) + 16 : part.length + 16;

function textOf(value: Value | undefined, column: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  throw badRow(`The column ${column}, which is part of the key, is null`);
}

const badRow = (message: string): PenstockError => new PenstockError('bad_row', message);

/** A JSON object as fields and texts. Null is left out. Numbers keep their digits. */
function fieldsOf(payload: Buffer): string[] {
  const members = JSON.parse(String(payload), withSource) as Record<string, unknown>;
  if (typeof members !== 'object' || members === null || Array.isArray(members))
    throw badRow('An entry with a field for each column needs a JSON object');
  const fields = Object.entries(members).flatMap(([name, value]) => {
    if (value === null) return [];
    return [name, typeof value === 'string' ? value : JSON.stringify(value)];
  });
  if (fields.length === 0) throw badRow('An entry needs a field, and all columns are null');
  return fields;
}

interface RawJson {
  rawJSON(text: string): unknown;
}

/** Keeps numbers as they are written. */
function withSource(_: string, value: unknown, { source }: { source?: string } = {}): unknown {
  return typeof value === 'number' && source !== undefined
    ? (JSON as unknown as RawJson).rawJSON(source)
    : value;
}
