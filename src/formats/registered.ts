import type { PenstockError } from '../errors.ts';

/** Schemas of a schema registry, as formats see them: an id in a message stands for the schema that it was written with. */

/** The name of each format's schemas in a registry. */
export const schemaTypes = { avro: 'AVRO', json: 'JSON', protobuf: 'PROTOBUF' } as const;
export type SchemaType = (typeof schemaTypes)[keyof typeof schemaTypes];

export interface SchemaText {
  schema: string;
  /** The texts of the schemas that it refers to, directly or not, by their names in it. Each comes before those that need it. */
  references: Readonly<Record<string, string>>;
}

export interface RegisteredSchema extends SchemaText {
  type: SchemaType;
}

/** A schema that a sink writes with, and those that it refers to. */
export interface WrittenSchema {
  /** Name of its record or message; of one that is referred to, the name by which that is done. */
  name: string;
  schema: string;
  references: readonly WrittenSchema[];
}

/** Number of characters in a schema and in those that it refers to. */
export const lengthOf = ({ schema, references }: SchemaText): number =>
  Object.values(references).reduce((sum, text) => sum + text.length, schema.length);

/** Looking up is synchronous, and loading what is not known comes before it. */
export interface RegisteredSchemas {
  /** Returns the error if no schema of that id can be had: the message is bad. Undefined if it is not loaded. */
  get(id: number): RegisteredSchema | PenstockError | undefined;
  /**
   * Call it with all ids of the next messages: it keeps those, and loads what is not known. Undefined if all is there, or was
   * missing a moment ago. Rejects if the registry cannot be asked. Then nothing is known of the messages.
   */
  load(ids: ReadonlySet<number>): Promise<void> | undefined;
}
