import { parseArgs } from 'node:util';
import { PenstockError } from '../errors.ts';
import { type KeyRing, type KeyRow, type Role, roles } from '../security/api-keys.ts';
import type { SecretBox } from '../security/secret-box.ts';
import type { Db } from '../store/db.ts';

/**
 * `penstock keys …`: API keys, and a new secret key, straight in the database, for whoever has the machine. It may run
 * beside a running service.
 */
export const keysUsage = `Usage: penstock keys list
       penstock keys create <name> --role ${roles.join(' | ')} [--expires-days <days>]
       penstock keys revoke <name>
       penstock keys rotate      seal every secret with the first key of PENSTOCK_SECRET_KEY
`;

/** Wrong arguments. */
export class KeysUsageError extends Error {}

export interface KeysCommand {
  run(given: { db: Db; keys: KeyRing; secrets: SecretBox; print(line: string): void }): Promise<void>;
}

/** Reads the arguments behind `keys`; throws `KeysUsageError`. */
export function readKeysCommand(args: string[]): KeysCommand {
  const { values, positionals } = parsed(args);
  const [action, name, ...rest] = positionals;
  const { role, 'expires-days': days } = values;
  const takesName = action === 'create' || action === 'revoke';
  if (rest.length > 0 || takesName !== (name !== undefined)) throw new KeysUsageError('wrong arguments');
  if (action !== 'create' && (role !== undefined || days !== undefined))
    throw new KeysUsageError('--role and --expires-days go with create');
  switch (action) {
    case 'list':
      return { run: list };
    case 'create':
      return create(name as string, role, days);
    case 'revoke':
      return revoke(name as string);
    case 'rotate':
      return { run: rotate };
    default:
      throw new KeysUsageError(`there is no keys ${action ?? 'without a word behind it'}`);
  }
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { role: { type: 'string' }, 'expires-days': { type: 'string' } },
    });
  } catch (error) {
    throw new KeysUsageError((error as Error).message);
  }
}

const date = (micros: bigint | null): string =>
  micros === null ? 'never' : new Date(Number(micros / 1000n)).toISOString();

const list: KeysCommand['run'] = async ({ db, print }) => {
  const rows: KeyRow[] = await db.apiKey.findMany({ orderBy: { name: 'asc' } });
  for (const { name, role, expiresAt, lastUsedAt } of rows)
    print(`${name}  ${role}  expires ${date(expiresAt)}  last used ${date(lastUsedAt)}`);
  if (rows.length === 0) print('There are no keys.');
};

const dayMicros = 86_400_000_000n;

function create(name: string, role: string | undefined, days: string | undefined): KeysCommand {
  if (!roles.includes(role as Role)) throw new KeysUsageError(`--role must be one of ${roles.join(', ')}`);
  if (name.length > 100) throw new KeysUsageError('a name has at most 100 characters');
  if (days !== undefined && !/^[1-9]\d{0,4}$/.test(days))
    throw new KeysUsageError('--expires-days must be a number of days, 1 to 99999');
  return {
    run: async ({ keys, print }) => {
      const expiresAt = days === undefined ? null : BigInt(Date.now()) * 1000n + BigInt(days) * dayMicros;
      const { key } = await keys.create({ name, role: role as Role, expiresAt });
      print(key);
    },
  };
}

const revoke = (name: string): KeysCommand => ({
  run: async ({ db, keys, print }) => {
    const row = await db.apiKey.findUnique({ where: { name } });
    if (row === null) throw new PenstockError('not_found', `There is no key called ${name}`);
    await keys.revoke(row.id);
    print(`${name} is revoked.`);
  },
});

const rotate: KeysCommand['run'] = async ({ db, secrets, print }) => {
  const { resealAll } = await import('../definitions/rotate.ts');
  const count = await resealAll(db, secrets);
  print(`${count} more ${count === 1 ? 'object is' : 'objects are'} sealed with the first key now.`);
};
