import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { PenstockError } from '../errors.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { newId } from '../store/id.ts';

/**
 * API keys: bearer tokens (RFC 6750) of `pk_` and 32 random bytes, shown once. Only their SHA-256 is stored; a long random
 * key needs no slow hash.
 */

/** Each role includes the roles before it. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export const mayAct = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);

export interface Caller {
  name: string;
  role: Role;
  /** Id of the stored key; null for the key of the settings, and when no key is needed. */
  id: string | null;
}

const adminCaller: Caller = { name: 'PENSTOCK_ADMIN_KEY', role: 'admin', id: null };
/** The caller on the loopback interface while no key exists. */
export const anybody: Caller = { name: 'anybody', role: 'admin', id: null };

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

interface KeyToMake {
  name: string;
  role: Role;
  expiresAt: bigint | null;
}

/** Time that a looked-up key stays valid here after another process has revoked it. */
const believedMs = 2_000;
const maxRemembered = 1_000;
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
  expiresAt: bigint | null;
  at: number;
}

/** Recognises keys, with a cache of 2 seconds in each process. */
export class KeyRing {
  readonly #db: Db;
  readonly #admin: Buffer | undefined;
  readonly #exposed: boolean;
  readonly #remembered = new Map<string, Remembered>();
  /** When a key was last seen to exist. */
  #anyAt: number | undefined;

  /** `exposed`: other machines can connect, so a key is always needed. */
  constructor(db: Db, adminKey: string | undefined, exposed: boolean) {
    this.#db = db;
    this.#admin = adminKey === undefined ? undefined : digest(adminKey);
    this.#exposed = exposed;
  }

  /** Whether calls need a key regardless of the database. */
  get always(): boolean {
    return this.#admin !== undefined || this.#exposed;
  }

  /** Whether a call needs a key: unless none exists and only this machine can connect. */
  async needed(): Promise<boolean> {
    if (this.always) return true;
    // Absence is never cached: the first key takes effect at once, in every process.
    if (this.#anyAt === undefined || isOld(this.#anyAt)) {
      const any = (await this.#db.apiKey.findFirst({ select: { id: true } })) !== null;
      this.#anyAt = any ? performance.now() : undefined;
    }
    return this.#anyAt !== undefined;
  }

  /** Returns the caller with this key; undefined when it is unknown, expired or revoked. */
  async callerOf(key: string): Promise<Caller | undefined> {
    const hash = digest(key);
    if (this.#admin !== undefined && timingSafeEqual(hash, this.#admin)) return adminCaller;
    const known = await this.#find(hash.toString('hex'));
    const expired = known.expiresAt !== null && known.expiresAt <= nowMicros();
    return expired ? undefined : known.caller;
  }

  /** Creates a key. Throws `name_taken`, and `illegal_state` for a first key that could not create others. */
  async create({ name, role, expiresAt }: KeyToMake): Promise<{ key: string; row: KeyRow }> {
    await this.#mustBeginWithAdmin(role, expiresAt !== null);
    const key = `pk_${randomBytes(32).toString('base64url')}`;
    const hash = digest(key).toString('hex');
    const data = { id: newId('key'), name, role, hash, createdAt: nowMicros(), expiresAt };
    const row = await this.#db.apiKey.create({ data });
    this.#forget();
    return { key, row };
  }

  /** Revokes a key. Throws `not_found`, and `illegal_state` for the last one that can create others. */
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
      hint: 'Create another admin key first, or set PENSTOCK_ADMIN_KEY.',
    });
  }

  async #mustBeginWithAdmin(role: Role, expires: boolean): Promise<void> {
    if ((role === 'admin' && !expires) || (await this.needed())) return;
    throw new PenstockError('illegal_state', 'The first key must be an admin key that does not expire', {
      hint: 'Once a key exists, every call needs one, and only an admin can create more.',
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
    if (row !== null && (row.lastUsedAt ?? 0n) + lastUseMicros < nowMicros()) await this.#noteUse(hash);
    return found;
  }

  /** A database that takes no writes can still say who may read. */
  async #noteUse(hash: string): Promise<void> {
    const data = { lastUsedAt: nowMicros() };
    await this.#db.apiKey.updateMany({ where: { hash }, data }).catch((error: PenstockError) => {
      if (!/^database_(read_only|full|forbidden)$/.test(error.code)) throw error;
    });
  }
}

/** Whether an admin key exists that does not expire. */
export async function hasAdminKey(db: Db): Promise<boolean> {
  return (await db.apiKey.findFirst({ where: { role: 'admin', expiresAt: null } })) !== null;
}

const isOld = (at: number): boolean => performance.now() - at > believedMs;
