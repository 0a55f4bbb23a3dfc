import type { Connection } from './client.ts';
import { saidIn, translated } from './translate.ts';

/** The arguments of a queue, without changing anything. */

const inequivalent =
  /inequivalent arg '([^']+)' .*(?:current is(?: the value)?) (?:'(.*)' of type '(\w+)'|(\w+))/s;

/**
 * An argument that the server compares last. Its value is one with which no queue can be declared: if the queue is deleted meanwhile,
 * none must come into being.
 */
const guard = 'x-queue-leader-locator';
const impossible = { [guard]: 'penstock-looks-at-arguments' };

/**
 * Finds the arguments of a queue: the server names the first one with which a declaration differs. A queue that exists is not
 * changed by it. Undefined if they cannot be found out, such as when the user may not declare it.
 */
export async function argumentsOf(
  connection: Connection,
  queue: string,
  signal: AbortSignal,
): Promise<Record<string, unknown> | undefined> {
  const found: Record<string, string | number | boolean> = {};
  const properties = { durable: true, autoDelete: false };
  for (let attempt = 0; attempt < 16; attempt++) {
    const channel = await connection.channel(signal);
    try {
      const declared = { ...found, ...impossible };
      await channel.until(channel.raw.assertQueue(queue, { ...properties, arguments: declared }), signal);
      await channel.close();
      // A server that does not know the guard.
      return found;
    } catch (error) {
      signal.throwIfAborted();
      const said = saidIn((error as Error).cause);
      if (said === undefined) throw translated(error);
      const [, name = '', value = '', type] = inequivalent.exec(said.text) ?? [];
      const argument = argumentIn(value, type);
      if (name === guard) return found;
      if (name === 'durable') properties.durable = false;
      else if (name === 'auto_delete') properties.autoDelete = true;
      else if (argument === undefined || name in found) return undefined;
      else found[name] = argument;
    }
  }
  return undefined;
}

/** Undefined for a type that no argument has. */
function argumentIn(text: string, type: string | undefined): string | number | boolean | undefined {
  if (type === 'longstr') return text;
  if (type === 'bool') return text === 'true';
  return type === undefined || Number.isNaN(Number(text)) ? undefined : Number(text);
}

export const kindOf = (found: Record<string, unknown>): string => String(found['x-queue-type'] ?? 'classic');
