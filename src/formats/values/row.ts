import type { Row, Value } from '../format.ts';
import { type Field, isMetadata } from '../schema/schema.ts';
import { badRow } from './bad.ts';

/**
 * Functions that make rows and take them apart are generated for their columns, so that V8 knows the shape of a row:
 * several times as fast as a loop. The generated text holds numbers and nothing of the schema: names are its arguments.
 */

/** Compiles a function that makes a row of an object's properties, `own` or `inherited`; `read` converts a property. */
export function rowFromObject(
  members: readonly { name: string; read?: ((value: unknown) => Value) | undefined }[],
  which: 'own' | 'inherited' = 'own',
): (object: object) => Row {
  const found = (at: number) => (which === 'own' ? property(members, at) : `o[k${at}]`);
  const value = (at: number) => (members[at]?.read ? `r${at}(${found(at)})` : found(at));
  return compiled(members, `return (o) => (${literal(members, value)});`);
}

/** Compiles a function that makes a row by reading values in order; a step without a name only reads. */
export function rowFromSequence<S>(
  steps: readonly { name?: string; read: (source: S) => unknown }[],
): (source: S) => Row {
  const reads = steps.map((_, at) => `const v${at} = r${at}(o);`).join(' ');
  return compiled(steps, `return (o) => { ${reads} return ${literal(steps, (at) => `v${at}`)}; };`);
}

/** Compiles a function that makes a row of values in the order of its columns; `read` converts a value. */
export function rowFromValues(
  members: readonly { name: string; read?: ((found: unknown) => Value) | undefined }[],
): (found: readonly unknown[]) => Row {
  const value = (at: number) => (members[at]?.read ? `r${at}(o[${at}])` : `o[${at}]`);
  return compiled(members, `return (o) => (${literal(members, value)});`);
}

/** Compiles a function that makes a row of a whole message: `value`, and metadata columns, which are null. */
export function rowFromMessage(fields: readonly Field[]): (value: Value) => Row {
  const metadata = fields.filter(isMetadata).map(({ name }) => ({ name, read: () => null }));
  return rowFromSequence([{ name: 'value', read: (value) => value }, ...metadata]);
}

/** The column `value` of a row, which holds a whole message; throws `bad_row` when it is null. */
export function messageOfRow({ value }: Row): Exclude<Value, null> {
  if (value === null || value === undefined) throw badRow('/value', 'is null, so there is no message');
  return value;
}

/** Compiles a function that writes the columns of a row in order. */
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

function property(members: readonly Member[], at: number): string {
  const inherited = (members[at]?.name ?? '') in Object.prototype;
  return inherited ? `Object.hasOwn(o, k${at}) ? o[k${at}] : undefined` : `o[k${at}]`;
}

/** A computed key makes an own property even if it is `__proto__`. */
function literal(members: readonly Member[], value: (at: number) => string): string {
  const properties = members.flatMap(({ name }, at) =>
    name === undefined ? [] : [`[k${at}]: ${value(at)}`],
  );
  return `{ ${properties.join(', ')} }`;
}

/** In the body, `kn` is the name of member n, and `rn` its reader. */
function compiled<T>(members: readonly Member[], body: string): T {
  const parameters = members.flatMap((_, at) => [`k${at}`, `r${at}`]);
  const values = members.flatMap(({ name, read }) => [name === undefined ? name : keyOf(name), read]);
  number += 1;
  return new Function(...parameters, `${body} // ${number}`)(...values) as T;
}

/** Makes each text unique: V8 shares type feedback between functions of the same text. */
let number = 0;

/** Returns the internalized string of a property name, which V8 need not look up. */
function keyOf(name: string): string {
  return Reflect.ownKeys({ [name]: null })[0] as string;
}
