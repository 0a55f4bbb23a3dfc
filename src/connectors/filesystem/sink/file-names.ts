import { createHash, randomBytes } from 'node:crypto';
import type { Identity } from '../../connector.ts';
import type { SinkTable } from '../config/table.ts';

/**
 * Names of files. The random part of each but `serial` ends with a tag of the task, so that no two tasks make the same
 * name, and a task recognises the uploads that it has left.
 */

/** Six bytes that stand for a sink of a job. */
export const tagOf = ({ jobId, operatorId }: Identity): string =>
  createHash('sha256').update(`${jobId} ${operatorId}`).digest('hex').slice(0, 12);

const taskTagOf = ({ jobId, operatorId, taskIndex }: Identity): string =>
  createHash('sha256').update(`${jobId} ${operatorId} ${taskIndex}`).digest('hex').slice(0, 12);

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

function base32(bytes: Buffer): string {
  let value = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (let at = 0; at < 26; at += 1) {
    text = (crockford[Number(value & 31n)] as string) + text;
    value >>= 5n;
  }
  return text;
}

function hyphenated(bytes: Buffer, version: number): string {
  bytes[6] = ((bytes[6] as number) & 0x0f) | (version << 4);
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function identifier(strategy: 'uuid_v7' | 'uuid' | 'ulid', tag: string): string {
  const bytes = Buffer.concat([randomBytes(10), Buffer.from(tag, 'hex')]);
  if (strategy !== 'uuid') bytes.writeUIntBE(Date.now(), 0, 6);
  if (strategy === 'ulid') return base32(bytes);
  return hyphenated(bytes, strategy === 'uuid' ? 4 : 7);
}

/** The end of every name that a task makes, before the suffix; undefined if names count. */
export function endOf(strategy: string | undefined, identity: Identity): string | undefined {
  if (strategy === 'serial') return undefined;
  const tag = taskTagOf(identity);
  // 45 of the 48 bits.
  return strategy === 'ulid' ? base32(Buffer.from(tag.padStart(32, '0'), 'hex')).slice(-9) : tag;
}

export class FileNames {
  readonly #strategy: NonNullable<NonNullable<SinkTable['file_naming']>['strategy']>;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #tag: string;
  readonly #taskIndex: number;
  /** The last number of each folder. */
  readonly #serials = new Map<string, number>();

  constructor({ file_naming = {} }: SinkTable, ending: string, identity: Identity) {
    const { strategy = 'uuid_v7', prefix = '', suffix = '' } = file_naming;
    this.#strategy = strategy;
    this.#prefix = prefix === '' ? '' : `${prefix}-`;
    this.#suffix = `.${suffix === '' ? ending : suffix.replace(/^\./, '')}`;
    this.#tag = taskTagOf(identity);
    this.#taskIndex = identity.taskIndex;
  }

  get isSerial(): boolean {
    return this.#strategy === 'serial';
  }

  /** `existing` lists the folder, to continue its numbers. */
  async next(folder: string, existing: (folder: string) => Promise<string[]>): Promise<string> {
    if (this.#strategy !== 'serial')
      return `${this.#prefix}${identifier(this.#strategy, this.#tag)}${this.#suffix}`;
    const last = this.#serials.get(folder) ?? this.#lastOf(await existing(folder));
    // Another file of this task may have asked meanwhile.
    const next = Math.max(last, this.#serials.get(folder) ?? 0) + 1;
    this.#serials.set(folder, next);
    const end = `-${String(this.#taskIndex).padStart(3, '0')}${this.#suffix}`;
    return `${this.#prefix}${String(next).padStart(5, '0')}${end}`;
  }

  /** The numbers of all tasks count, so that files of a former task are not continued below them. */
  #lastOf(names: readonly string[]): number {
    let last = 0;
    for (const name of names) {
      if (!name.startsWith(this.#prefix)) continue;
      const [, digits] = /^(\d{5,12})-\d{3,}\./.exec(name.slice(this.#prefix.length)) ?? [];
      last = Math.max(last, Number(digits ?? 0));
    }
    return last;
  }
}
