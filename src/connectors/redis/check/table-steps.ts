import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { Finding } from '../../network/check-steps.ts';
import { redisError } from '../config/errors.ts';
import {
  entryShape,
  type RedisTable,
  type SourceTable,
  sinkOf,
  sourceOf,
  targetOf,
} from '../config/table.ts';
import type { Command, Connection } from '../connection/client.ts';
import { payloadMaker, readEntries } from '../connection/entries.ts';
import { replyError } from '../connection/reply-errors.ts';
import { groupInfo, streamInfo } from '../connection/stream-info.ts';

/** Test steps of a table. */

/** Whether the key has the type that the table needs. */
export async function typeFinding(connection: Connection, table: RedisTable): Promise<Finding<void>> {
  const source = sourceOf(table);
  if (source) return streamFinding(connection, source);
  const target = targetOf(sinkOf(table) as NonNullable<ReturnType<typeof sinkOf>>);
  if (target.keyColumn !== undefined)
    return {
      value: undefined,
      message: `Keys begin with ${JSON.stringify(target.prefix)}`,
      details: { type: target.type },
    };
  const type = String(await connection.send(['TYPE', target.prefix]));
  const details = { key: target.prefix, type };
  if (type !== 'none' && type !== target.type)
    throw redisError('redis_wrong_type', `The key ${target.prefix} holds a ${type}, not a ${target.type}`, {
      hint: 'Use another key, or delete it at the server: DEL.',
      facts: details,
    });
  const message = type === 'none' ? 'does not exist yet' : `holds a ${type}`;
  return { value: undefined, message: `The key ${target.prefix} ${message}`, details };
}

async function streamFinding(connection: Connection, source: SourceTable): Promise<Finding<void>> {
  const { stream: key, consumerGroup: name, start = 'latest' } = source;
  const stream = await streamInfo(connection, key);
  const group = stream && (await groupInfo(connection, key, name));
  const details = { stream: key, length: stream?.length ?? 0, group: name, pending: group?.pending ?? 0 };
  if (!stream)
    return {
      value: undefined,
      message: `The stream ${key} does not exist yet: the first job creates it`,
      details,
    };
  const begins = start === 'latest' ? 'after its newest entry' : 'at its oldest entry';
  const message = group
    ? `the group ${name} has ${group.pending} entries that are not acknowledged`
    : `the first job creates the group ${name} ${begins}`;
  return {
    value: undefined,
    message: `The stream ${key} has ${stream.length} entries, and ${message}`,
    details,
  };
}

/**
 * Queues the commands of a job in a transaction and discards it: the server checks permissions, memory, its role and its disk, and
 * executes nothing.
 */
export async function permissionFinding(connection: Connection, table: RedisTable): Promise<Finding<void>> {
  const commands = sourceOf(table) ? readCommands(sourceOf(table) as SourceTable) : writeCommands(table);
  const replies = await connection.sendAll([['MULTI'], ...commands, ['DISCARD']]);
  for (const [index, command] of [['MULTI'] as Command, ...commands].entries()) {
    const reply = replies[index];
    if (reply && 'failure' in reply) {
      const { code, message, facts } = replyError(reply.failure);
      const name = command[0] === 'XGROUP' ? 'XGROUP CREATE' : command[0];
      throw redisError(code as 'redis_forbidden', `${name}: ${message}`, {
        hint: hintFor(
          code,
          name,
          String(command[code === 'redis_forbidden' && name === 'XGROUP CREATE' ? 2 : 1]),
        ),
        facts: { ...facts, command: name },
      });
    }
  }
  const names = [...new Set(commands.map(([name]) => name))].join(', ');
  return { value: undefined, message: `The server accepts ${names}; nothing was executed` };
}

const hintFor = (code: string, name: string, key: string): string =>
  code === 'redis_forbidden'
    ? `ACL SETUSER … +${name.toLowerCase().replace(' ', '|')} ~${key}*`
    : 'Look at INFO of the server.';

const readCommands = ({ stream, consumerGroup: group }: SourceTable): Command[] => [
  ['XINFO', 'STREAM', stream],
  ['XGROUP', 'CREATE', stream, group, '$', 'MKSTREAM'],
  ['XREADGROUP', 'GROUP', group, 'penstock:test', 'COUNT', 1, 'STREAMS', stream, '>'],
  ['XACK', stream, group, '0-1'],
  ['XPENDING', stream, group],
  ['XCLAIM', stream, group, 'penstock:test', 0, '0-1', 'JUSTID'],
  ['XAUTOCLAIM', stream, group, 'penstock:test', 0, '0'],
];

function writeCommands(table: RedisTable): Command[] {
  const target = targetOf(sinkOf(table) as NonNullable<ReturnType<typeof sinkOf>>);
  const { prefix: key } = target;
  switch (target.type) {
    case 'string':
      return [['SET', key, '']];
    case 'list':
      return [
        [target.append ? 'RPUSH' : 'LPUSH', key, ''],
        ...(target.maxLength === undefined ? [] : [['LTRIM', key, 0, -1] as const]),
      ];
    case 'hash':
      return [['HSET', key, 'field', '']];
    case 'stream':
      return [['XADD', key, '*', 'field', '']];
  }
}

/** The payload of the newest entry, to be compared with the schema. */
export async function newestEntry(
  connection: Connection,
  table: RedisTable,
  schema: ConnectionSchema | undefined,
): Promise<Finding<Buffer[]>> {
  const { stream } = sourceOf(table) as SourceTable;
  const reply = await connection.send(['XREVRANGE', stream, '+', '-', 'COUNT', 1], { binary: true });
  const [entry] = readEntries(reply);
  if (!entry?.fields) return { value: [], message: 'The stream has no entries, which need not be wrong' };
  const { payloadField } = entryShape(table);
  const payload = payloadMaker({ payloadField }, schema)(entry.fields);
  const names = entry.fields.filter((_, index) => index % 2 === 0).map((name) => String(name).slice(0, 100));
  const details = { id: entry.id, fields: names.slice(0, 50) };
  if (payload === undefined)
    throw redisError(
      'redis_no_payload',
      `The newest entry has no field ${payloadField}, but ${names.join(', ')}`,
      {
        hint: 'Correct payloadField of the table, or read all fields with entry = fields.',
        facts: details,
      },
    );
  return { value: [payload], message: `The newest entry ${entry.id} has ${payload.length} bytes`, details };
}
