import { PenstockError } from '../errors.ts';
import { type KeyRing, type KeyRow, type Role, roles } from '../security/api-keys.ts';
import type { SecretBox } from '../security/secret-box.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { type OptionValues, UsageError } from './commands.ts';

/** `penstock keys …`: changes API keys and rotates the secret key in the database. Safe beside a running service. */

interface KeysContext {
  db: Db;
  keys: KeyRing;
  secrets: SecretBox;
  print(line: string): void;
}

type KeysCommand = (context: KeysContext) => Promise<void>;

/** Returns what `penstock keys <words>` does. Throws `UsageError`. */
export function readKeysCommand(words: readonly string[], values: OptionValues): KeysCommand {
  const [action, name] = words;
  const { role, 'expires-days': days } = values;
  const takesName = action === 'create' || action === 'revoke';
  if (takesName !== (name !== undefined))
    throw usage(takesName ? 'the name is missing' : `too many arguments: ${name}`);
  if (action !== 'create' && (role !== undefined || days !== undefined))
    throw usage('--role and --expires-days go with create');
  switch (action) {
    case 'list':
      return list;
    case 'create':
      return create(name as string, role, days);
    case 'revoke':
      return revoke(name as string);
    case 'rotate':
      return rotate;
    default:
      throw usage(`there is no command keys ${action}`);
  }
}

const usage = (message: string): UsageError => new UsageError(message, 'keys');

const date = (micros: bigint | null): string =>
  micros === null ? 'never' : new Date(Number(micros / 1000n)).toISOString();

const list: KeysCommand = async ({ db, print }) => {
  const rows: KeyRow[] = await db.apiKey.findMany({ orderBy: { name: 'asc' } });
  for (const { name, role, expiresAt, lastUsedAt } of rows)
    print(`${name}  ${role}  expires ${date(expiresAt)}  last used ${date(lastUsedAt)}`);
  if (rows.length === 0) print('There are no keys.');
};

const dayMicros = 86_400_000_000n;

function create(name: string, role: string | undefined, days: string | undefined): KeysCommand {
  if (!roles.includes(role as Role)) throw usage(`--role must be one of ${roles.join(', ')}`);
  if (name.length > 100) throw usage('a name has at most 100 characters');
  if (days !== undefined && !/^[1-9]\d{0,4}$/.test(days))
    throw usage('--expires-days must be a number of days, 1 to 99999');
  return async ({ keys, print }) => {
    const expiresAt = days === undefined ? null : nowMicros() + BigInt(days) * dayMicros;
    const { key } = await keys.create({ name, role: role as Role, expiresAt });
    print(key);
  };
}

const revoke =
  (name: string): KeysCommand =>
  async ({ db, keys, print }) => {
    const row = await db.apiKey.findUnique({ where: { name } });
    if (row === null) throw new PenstockError('not_found', `There is no key called ${name}`);
    await keys.revoke(row.id);
    print(`${name} is revoked.`);
  };

const rotate: KeysCommand = async ({ db, secrets, print }) => {
  const { rotateSecrets } = await import('../definitions/rotate.ts');
  const count = await rotateSecrets(db, secrets);
  print(`${count} more ${count === 1 ? 'object is' : 'objects are'} now sealed with the first key.`);
};
