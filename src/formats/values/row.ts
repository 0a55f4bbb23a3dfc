import type { Row, Value } from '../format.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { badRow } from './bad.ts';

/**
 * Functions that make rows and take them apart are generated for their columns, so that V8 knows the shape of a row:
 * several times as fast as a loop. The generated text holds numbers and nothing of the schema: names are its arguments.
 */

/**
 * Compiles a function that makes a row of the properties of an object: its own ones, or the `inherited` ones too.
 * Without `read` a property is the value.
 */
export function rowFromObject(
  members: readonly { name: string; read?: ((value: unknown) => Value) | undefined }[],
  which: 'own' | 'inherited' = 'own',
): (object: object) => Row {
  const found = (at: number) => (which === 'own' ? property(members, at) : `o[k${at}]`);
  const value = (at: number) => (members[at]?.read ? `r${at}(${found(at)})` : found(at));
  return compiled(members, `return (o) => (${literal(members, value)});`);
}

/** Compiles a function that makes a row by reading one value after the other; a step without a name only reads. */
export function rowFromSequence<S>(
  steps: readonly { name?: string; read: (source: S) => unknown }[],
): (source: S) => Row {
  const reads = steps.map((_, at) => `const v${at} = r${at}(o);`).join(' ');
  return compiled(steps, `return (o) => { ${reads} return ${literal(steps, (at) => `v${at}`)}; };`);
}

/** Compiles a function that makes a row of what is found in the order of its columns; without `read` it is the value. */
export function rowFromValues(
  members: readonly { name: string; read?: ((found: unknown) => Value) | undefined }[],
): (found: readonly unknown[]) => Row {
  const value = (at: number) => (members[at]?.read ? `r${at}(o[${at}])` : `o[${at}]`);
  return compiled(members, `return (o) => (${literal(members, value)});`);
}

/** Compiles a function that makes a row of a whole message: the column `value`, and those of metadata, which are null. */
export function rowFromMessage(fields: readonly Field[]): (value: Value) => Row {
  const metadata = fields.filter(isMetadata).map(({ name }) => ({ name, read: () => null }));
  return rowFromSequence([{ name: 'value', read: (value) => value }, ...metadata]);
}

/** The column `value` of a row, which holds a whole message; throws `bad_row` when it is null. */
export function messageOfRow({ value }: Row): Exclude<Value, null> {
  if (value === null || value === undefined) throw badRow('/value', 'is null, so there is no message');
  return value;
}

/** Compiles a function that hands the columns of a row, one after the other, to what writes them. */
export function columnsTo<T>(
  members: readonly { name: string; write: (value: Value, target: T) => void }[],
): (row: object, target: T) => void {
  const writes = members.map((_, at) => `r${at}(${property(members, at)}, t);`).join(' ');
  return compiled(
    members.map(({ name, write }) => ({ name, read: write })),
    `return (o, t) => { ${writes} };`,
  );
}

/** Compiles a function that joins the texts of the columns of a row. */
export function columnsText(
  members: readonly { name: string; write: (value: Value) => string }[],
): (row: object) => string {
  const texts = members.map((_, at) => `r${at}(${property(members, at)})`);
  return compiled(
    members.map(({ name, write }) => ({ name, read: write })),
    `return (o) => ${['""', ...texts].join(' + ')};`,
  );
}

interface Member {
  name?: string;
  read?: unknown;
}

/** What every object inherits is not a property of this one. */
function property(members: readonly Member[], at: number): string {
  const inherited = (members[at]?.name ?? '') in Object.prototype;
  return inherited ? `Object.hasOwn(o, k${at}) ? o[k${at}] : undefined` : `o[k${at}]`;
}

/** A computed key is a property of its own even when it is called `__proto__`. */
function literal(members: readonly Member[], value: (at: number) => string): string {
  const properties = members.flatMap(({ name }, at) =>
    name === undefined ? [] : [`[k${at}]: ${value(at)}`],
  );
  return `{ ${properties.join(', ')} }`;
}

/** The body may use the name of the member n as `kn` and what reads it as `rn`. */
function compiled<T>(members: readonly Member[], body: string): T {
  const parameters = members.flatMap((_, at) => [`k${at}`, `r${at}`]);
  const values = members.flatMap(({ name, read }) => [name === undefined ? name : keyOf(name), read]);
  number += 1;
  return new Function(...parameters, `${body} // ${number}`)(...values) as T;
}

/** Two functions of the same text would share what V8 learns about their columns, which are not the same. */
let number = 0;

/** The string that V8 itself keeps for a property of this name: an equal one, cut out of a text, is looked up each time. */
function keyOf(name: string): string {
  return Reflect.ownKeys({ [name]: null })[0] as string;
}
