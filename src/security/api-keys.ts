import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { PenstockError } from '../errors.ts';
import type { Db } from '../store/db.ts';
import { newId } from '../store/id.ts';

/**
 * Who may call the API. A key is a bearer token (RFC 6750): `pk_` and 32 random bytes, shown once when it is made.
 * Stored is its SHA-256 only; it is long and random, so no slow hash is needed.
 */

/** Each role may do what those before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export const mayAct = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);

/** Who calls. */
export interface Caller {
  /** The name of the key. */
  name: string;
  role: Role;
  /** The stored key; null for the one of the settings, and where none is needed. */
  id: string | null;
}

const adminCaller: Caller = { name: 'PENSTOCK_ADMIN_KEY', role: 'admin', id: null };
/** Everybody, on the loopback interface, as long as there is no key. */
export const anybody: Caller = { name: 'anybody', role: 'admin', id: null };

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

interface KeyToMake {
  name: string;
  role: Role;
  /** Unix microseconds; null: never. */
  expiresAt: bigint | null;
}

/** For so long what the database said is believed: another process may have revoked a key meanwhile. */
const believedMs = 2_000;
const maxRemembered = 1_000;
/** How exactly `lastUsedAt` is kept. */
const lastUseMicros = 60_000_000n;

export interface KeyRow {
  id: string;
  name: string;
  role: string;
  createdAt: bigint;
  expiresAt: bigint | null;
  lastUsedAt: bigint | null;
}

interface Remembered {
  caller: Caller | undefined;
  /** In microseconds. */
  expiresAt: bigint | null;
  at: number;
}

/** Recognises keys. Every process has one of its own; a key that is revoked in another works for 2 seconds more. */
export class KeyRing {
  readonly #db: Db;
  readonly #admin: Buffer | undefined;
  readonly #exposed: boolean;
  readonly #remembered = new Map<string, Remembered>();
  /** When there was a key. */
  #anyAt: number | undefined;

  /** `exposed`: reachable by others than this machine, so that a key is needed even when there is none. */
  constructor(db: Db, adminKey: string | undefined, exposed: boolean) {
    this.#db = db;
    this.#admin = adminKey === undefined ? undefined : digest(adminKey);
    this.#exposed = exposed;
  }

  /** Whether a call needs a key whatever the database has: others can reach us, or the settings have a key. */
  get always(): boolean {
    return this.#admin !== undefined || this.#exposed;
  }

  /** Whether a call needs a key: always, unless there is none and only this machine can call. */
  async needed(): Promise<boolean> {
    if (this.always) return true;
    // That there is none is never believed: the first key closes the door at once, whoever makes it.
    if (this.#anyAt === undefined || isOld(this.#anyAt)) {
      const any = (await this.#db.apiKey.findFirst({ select: { id: true } })) !== null;
      this.#anyAt = any ? performance.now() : undefined;
    }
    return this.#anyAt !== undefined;
  }

  /** Who has this key; undefined when nobody has, or not any more. */
  async callerOf(key: string): Promise<Caller | undefined> {
    const hash = digest(key);
    if (this.#admin !== undefined && timingSafeEqual(hash, this.#admin)) return adminCaller;
    const known = await this.#find(hash.toString('hex'));
    const expired = known.expiresAt !== null && known.expiresAt <= now();
    return expired ? undefined : known.caller;
  }

  /** Makes a key and answers it, with its row. Throws `name_taken`, and `illegal_state` for a first key that could not make others. */
  async create({ name, role, expiresAt }: KeyToMake): Promise<{ key: string; row: KeyRow }> {
    await this.#mustBeginWithAdmin(role, expiresAt !== null);
    const key = `pk_${randomBytes(32).toString('base64url')}`;
    const hash = digest(key).toString('hex');
    const data = { id: newId('key'), name, role, hash, createdAt: now(), expiresAt };
    const row = await this.#db.apiKey.create({ data });
    this.#forget();
    return { key, row };
  }

  /** Revokes a key and answers what it was. Throws `not_found`, and `illegal_state` for the last that can make others. */
  async revoke(id: string): Promise<KeyRow> {
    await this.#mustKeepAdmin(id);
    const row = await this.#db.apiKey.delete({ where: { id } });
    this.#forget();
    return row;
  }

  #forget(): void {
    this.#remembered.clear();
    this.#anyAt = undefined;
  }

  async #mustKeepAdmin(id: string): Promise<void> {
    if (this.#admin !== undefined) return;
    const others = await this.#db.apiKey.findMany({ where: { NOT: { id } } });
    const admins = others.filter(({ role, expiresAt }) => role === 'admin' && expiresAt === null);
    if (admins.length > 0 || (others.length === 0 && !this.#exposed)) return;
    throw new PenstockError('illegal_state', 'It is the last admin key that does not expire', {
      hint: 'Make another one first, or set PENSTOCK_ADMIN_KEY.',
    });
  }

  async #mustBeginWithAdmin(role: Role, expires: boolean): Promise<void> {
    if ((role === 'admin' && !expires) || (await this.needed())) return;
    throw new PenstockError('illegal_state', 'The first key must be an admin key that does not expire', {
      hint: 'From the first key on every call needs one, and only an admin can make more.',
    });
  }

  async #find(hash: string): Promise<Remembered> {
    const before = this.#remembered.get(hash);
    if (before !== undefined && !isOld(before.at)) return before;
    const row = await this.#db.apiKey.findUnique({ where: { hash } });
    const caller = row === null ? undefined : { name: row.name, role: row.role as Role, id: row.id };
    const found = { caller, expiresAt: row?.expiresAt ?? null, at: performance.now() };
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.set(hash, found);
    if (row !== null && (row.lastUsedAt ?? 0n) + lastUseMicros < now()) {
      await this.#db.apiKey.updateMany({ where: { hash }, data: { lastUsedAt: now() } });
    }
    return found;
  }
}

/** Whether somebody could call a service that everybody can reach: there is an admin key that does not expire. */
export async function hasAdminKey(db: Db): Promise<boolean> {
  return (await db.apiKey.findFirst({ where: { role: 'admin', expiresAt: null } })) !== null;
}

const isOld = (at: number): boolean => performance.now() - at > believedMs;
const now = (): bigint => BigInt(Date.now()) * 1000n;
