import type { Connection } from './client.ts';
import { ReplyFailure } from './reply-errors.ts';

/** Facts about a server. */

export interface Version {
  text: string;
  major: number;
  minor: number;
}

/** Values of `INFO <section>` by their names; none if the user may not ask. */
export async function infoOf(connection: Connection, section: string): Promise<Record<string, string>> {
  const text = String(await allowed(connection.send(['INFO', section]), ''));
  const pairs = [...text.matchAll(/^(\w+):(.*?)\r?$/gm)];
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]));
}

/** The version that the server is compatible with. */
export async function serverVersion(connection: Connection): Promise<Version> {
  const info = await infoOf(connection, 'server');
  const text = info.redis_version ?? 'unknown';
  const [major = 0, minor = 0] = text.split('.').map(Number);
  const name = info.server_name === 'valkey' ? `Valkey ${info.valkey_version ?? ''}`.trim() : `Redis ${text}`;
  return { text: name, major, minor };
}

/** Settings of the server that exist; none if the user may not ask, as at most providers. */
export async function settingsOf(connection: Connection, pattern: string): Promise<Record<string, string>> {
  const list = (await allowed(connection.send(['CONFIG', 'GET', pattern]), [])) as string[];
  return Object.fromEntries(
    Array.from({ length: Math.floor(list.length / 2) }, (_, index) => [list[2 * index], list[2 * index + 1]]),
  );
}

/** Redis' own default. */
const defaultBulkBytes = 512 * 1024 * 1024;

/** Maximum size of a command: at a larger one the server closes the connection. */
export async function maxCommandBytes(connection: Connection): Promise<number> {
  const found = await Promise.all(
    ['proto-max-bulk-len', 'client-query-buffer-limit'].map(async (name) => {
      const { [name]: text = '' } = await settingsOf(connection, name);
      return Number(text) || defaultBulkBytes;
    }),
  );
  return Math.min(...found);
}

/** The value, or `otherwise` if the server refuses the command. */
async function allowed(reply: Promise<unknown>, otherwise: unknown): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof ReplyFailure) return otherwise;
    throw error;
  }
}
