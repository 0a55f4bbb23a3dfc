import protobuf from 'protobufjs';
import descriptor from 'protobufjs/google/protobuf/descriptor.json' with { type: 'json' };
import type { SchemaText } from '../registered.ts';

/**
 * Some serializers, as those for Python, register a file as its descriptor in base64, and some registries, as Apicurio, return it
 * like that. It becomes the text of a .proto file again, without comments and custom options.
 */

interface FieldDescriptor {
  name: string;
  number: number;
  label: number;
  type: number;
  typeName: string;
  defaultValue: string;
  oneofIndex: number;
  proto3Optional: boolean;
  options?: { packed?: boolean | null } | null;
}

interface EnumDescriptor {
  name: string;
  value: { name: string; number: number }[];
  options?: { allowAlias?: boolean } | null;
}

interface MessageDescriptor {
  name: string;
  field: FieldDescriptor[];
  nestedType: MessageDescriptor[];
  enumType: EnumDescriptor[];
  oneofDecl: { name: string }[];
  options?: { mapEntry?: boolean } | null;
}

interface FileDescriptor {
  package: string;
  dependency: string[];
  publicDependency: number[];
  messageType: MessageDescriptor[];
  enumType: EnumDescriptor[];
  syntax: string;
}

/** By the numbers of FieldDescriptorProto.Type. Groups have none. */
const types: Readonly<Record<number, string>> = {
  ...{ 1: 'double', 2: 'float', 3: 'int64', 4: 'uint64', 5: 'int32', 6: 'fixed64', 7: 'fixed32', 8: 'bool' },
  ...{ 9: 'string', 12: 'bytes', 13: 'uint32', 15: 'sfixed32', 16: 'sfixed64', 17: 'sint32', 18: 'sint64' },
};
const [text, group, bytes, enumeration] = [9, 10, 12, 14];
const [required, repeated] = [2, 3];

const base64 = /^[A-Za-z0-9+/]+={0,2}\s*$/;

/** The same with texts of .proto files. Throws an error for what is neither. */
export const protoTexts = ({ schema, references }: SchemaText): SchemaText => ({
  schema: protoText(schema),
  references: Object.fromEntries(
    Object.entries(references).map(([name, reference]) => [name, protoText(reference)]),
  ),
});

function protoText(schema: string): string {
  if (!base64.test(schema)) return schema;
  const file = protobuf.Root.fromJSON(descriptor as protobuf.INamespace).lookupType(
    'google.protobuf.FileDescriptorProto',
  );
  return fileText(file.decode(Buffer.from(schema, 'base64')) as unknown as FileDescriptor);
}

function fileText(file: FileDescriptor): string {
  const syntax = file.syntax || 'proto2';
  if (syntax !== 'proto2' && syntax !== 'proto3') throw new Error(`its descriptor is in ${syntax}`);
  const imports = file.dependency.map(
    (name, index) =>
      `import ${file.publicDependency.includes(index) ? 'public ' : ''}${JSON.stringify(name)};`,
  );
  return [
    `syntax = "${syntax}";`,
    ...(file.package ? [`package ${file.package};`] : []),
    ...imports,
    ...file.enumType.map(enumText),
    ...file.messageType.map((message) => messageText(message, syntax)),
  ].join('\n');
}

function enumText({ name, value, options }: EnumDescriptor): string {
  const alias = options?.allowAlias ? 'option allow_alias = true; ' : '';
  return `enum ${name} { ${alias}${value.map((one) => `${one.name} = ${one.number};`).join(' ')} }`;
}

function messageText(message: MessageDescriptor, syntax: string): string {
  const maps = new Map(
    message.nestedType.filter(({ options }) => options?.mapEntry).map((entry) => [entry.name, entry]),
  );
  const done = new Set<number>();
  // In the order of the descriptor, so that messages keep their indexes.
  const fields = message.field.map((field) => {
    const index = Object.hasOwn(field, 'oneofIndex') && !field.proto3Optional ? field.oneofIndex : undefined;
    if (index === undefined) return `${labelOf(field, syntax, maps)}${fieldText(field, maps)}`;
    if (done.has(index)) return '';
    done.add(index);
    const members = message.field.filter(
      (one) => Object.hasOwn(one, 'oneofIndex') && one.oneofIndex === index,
    );
    return `oneof ${message.oneofDecl[index]?.name} { ${members.map((one) => fieldText(one, maps)).join(' ')} }`;
  });
  const nested = message.nestedType.filter(({ name }) => !maps.has(name));
  return [
    `message ${message.name} {`,
    ...message.enumType.map(enumText),
    ...nested.map((inner) => messageText(inner, syntax)),
    ...fields,
    '}',
  ].join('\n');
}

type Maps = ReadonlyMap<string, MessageDescriptor>;

const mapOf = ({ typeName }: FieldDescriptor, maps: Maps): MessageDescriptor | undefined =>
  maps.get(typeName.slice(typeName.lastIndexOf('.') + 1));

function labelOf(field: FieldDescriptor, syntax: string, maps: Maps): string {
  if (mapOf(field, maps)) return '';
  if (field.label === repeated) return 'repeated ';
  if (field.label === required) return 'required ';
  return syntax === 'proto2' || field.proto3Optional ? 'optional ' : '';
}

function fieldText(field: FieldDescriptor, maps: Maps): string {
  const { name, number, options, type } = field;
  const entry = mapOf(field, maps);
  const [key, value] = entry?.field ?? [];
  const typeText = key && value ? `map<${typeOf(key)}, ${typeOf(value)}>` : typeOf(field);
  const more: string[] = [];
  if (typeof options?.packed === 'boolean' && Object.hasOwn(options, 'packed'))
    more.push(`packed = ${options.packed}`);
  // That of bytes has no meaning for columns.
  if (Object.hasOwn(field, 'defaultValue') && type !== bytes)
    more.push(`default = ${type === text ? JSON.stringify(field.defaultValue) : field.defaultValue}`);
  return `${typeText} ${name} = ${number}${more.length > 0 ? ` [${more.join(', ')}]` : ''};`;
}

function typeOf({ type, typeName }: FieldDescriptor): string {
  if (type === group) throw new Error('its descriptor has a group, which is not supported');
  return type === enumeration || typeName !== '' ? typeName : (types[type] ?? 'bytes');
}
