import { noSize, type Size } from '../../formats/values/size.ts';
import { children, isNode } from '../parse-tree.ts';

/**
 * Upper bounds on the sizes of values that DuckDB's functions return. DuckDB creates a value before it checks any
 * limit, so a function that multiplies its inputs has to be bounded before it runs. Every rule is a polynomial with
 * coefficients that are not negative in the sizes of the arguments: `memory.ts` depends on that.
 */

export interface Argument extends Size {
  /** Bytes of the whole value, lists and their elements included. */
  total: number;
  /** The value of a literal text or number. */
  literal?: string | number | undefined;
}

const unbounded: Size = { bytes: Number.POSITIVE_INFINITY, count: Number.POSITIVE_INFINITY };

type Rule = (args: readonly Argument[]) => Size;

const sumOf = (args: readonly Argument[], key: 'bytes' | 'count' | 'total'): number =>
  args.reduce((sum, argument) => sum + argument[key], 0);

/** The values of the arguments put together, with `factor` bytes for each of theirs. */
const sum =
  (factor = 1, more = 0): Rule =>
  (args) => ({ bytes: factor * sumOf(args, 'bytes') + more, count: sumOf(args, 'count') });

/** The arguments written as text. */
const written =
  (factor: number): Rule =>
  (args) => ({ bytes: factor * sumOf(args, 'total') + 64 * args.length, count: 0 });

const first: Rule = ([value = nothing]) => value;
const nothing: Argument = { ...noSize, total: 0 };

const lengthOf = ({ literal }: Argument): number | undefined =>
  typeof literal === 'string' ? Buffer.byteLength(literal) : undefined;

const sizeOf = ({ literal }: Argument): number =>
  typeof literal === 'number' ? Math.abs(literal) : Number.POSITIVE_INFINITY;

const split: Rule = ([text = nothing, separator = nothing]) => ({
  bytes: text.bytes,
  count: text.bytes / Math.max(1, lengthOf(separator) ?? 1) + 1,
});

const replace: Rule = ([text = nothing, from = nothing, to = nothing]) => ({
  bytes: text.bytes + (text.bytes * to.bytes) / Math.max(1, lengthOf(from) ?? 1),
  count: 0,
});

/** An empty match puts the replacement between all bytes, and `\1` puts a part of the text in it. */
const regexpReplace: Rule = ([text = nothing, , to = nothing, options]) => {
  const groups = typeof to.literal === 'string' ? (to.literal.match(/\\\d/g)?.length ?? 0) : to.bytes / 2;
  const once =
    options === undefined || (typeof options.literal === 'string' && !options.literal.includes('g'));
  const matches = once ? 1 : text.bytes + 1;
  return { bytes: text.bytes * (1 + groups) + matches * to.bytes, count: 0 };
};

/** A value `times` times; unbounded if that is not a literal. */
function multiply(value: Size, times: number, more: Size = noSize): Size {
  if (!Number.isFinite(times)) return unbounded;
  return { bytes: value.bytes * times + more.bytes, count: value.count * times + more.count };
}

const repeat: Rule = ([value = nothing, times = nothing]) => multiply(value, sizeOf(times));

const pad: Rule = ([text = nothing, length = nothing]) => ({
  bytes: text.bytes + 4 * sizeOf(length),
  count: 0,
});

/** `%s` and `{}` may each take the largest argument; widths are the numbers in the format. */
const format: Rule = ([template = nothing, ...args]) => {
  const text = template.literal;
  if (typeof text !== 'string') return unbounded;
  const places = text.match(/[%{]/g)?.length ?? 0;
  const widths = (text.match(/\d+/g) ?? []).reduce((total, width) => total + Number(width), 0);
  return { bytes: template.bytes + places * (400 + sumOf(args, 'total')) + widths, count: 0 };
};

const series: Rule = (args) => ({ bytes: 0, count: args.reduce((total, size) => total + sizeOf(size), 1) });

const resize: Rule = ([list = nothing, length = nothing, filler = nothing]) =>
  multiply({ ...filler, count: filler.count + 1 }, sizeOf(length), list);

/** Some elements of the first, as many as the second has. */
const select: Rule = ([list = nothing, picks = nothing]) => ({
  bytes: picks.count * list.bytes,
  count: picks.count * (1 + list.count),
});

/** A part of a JSON text, or a list of parts; `..` and `**` find parts within each other. */
const jsonParts: Rule = ([json = nothing, ...paths]) => {
  const nested = paths.some(({ literal }) => typeof literal === 'string' && /\.\.|\*\*/.test(literal));
  const times = 1 + sumOf(paths, 'count') + (nested ? json.bytes : 0);
  return { bytes: json.bytes * times, count: (1 + json.bytes) * times };
};

const withSeparator: Rule = ([separator = nothing, ...args]) => ({
  bytes: sumOf(args, 'bytes') + args.length * separator.bytes,
  count: sumOf(args, 'count'),
});

/** Indentation grows with the depth. */
const pretty: Rule = ([json = nothing]) => ({ bytes: 2 * json.bytes * (json.bytes + 1) + 64, count: 0 });

const aggregate: Rule = ([list = nothing, ...rest]) => ({
  bytes: 4 * list.total + (list.count + 1) * (64 + sumOf(rest, 'bytes')),
  count: 2 * list.count + 16,
});

/** For a function without a rule of its own: `memory.test.ts` holds all of DuckDB's to it. */
const other: Rule = (args) => ({
  bytes: 8 * sumOf(args, 'total') + 256,
  count: sumOf(args, 'count') + sumOf(args, 'bytes') + 16,
});

const rules = new Map<string, Rule>();
function define(names: string, rule: Rule): void {
  for (const name of names.split(' ')) rules.set(name, rule);
}

define('substr substring substring_grapheme left right left_grapheme right_grapheme reverse', first);
define('trim ltrim rtrim decode from_hex unhex from_base64 from_binary unbin url_decode', first);
define('regexp_extract list_slice array_slice list_extract array_extract list_element', first);
define('list_distinct array_distinct list_sort array_sort list_reverse_sort array_reverse_sort', first);
define('list_where array_where list_filter array_filter filter struct_extract struct_extract_at', first);
define('map_keys map_values map_entries map_from_entries union_extract struct_values list_intersect', first);
define('element_at map_extract map_extract_value encode constant_or_null base64', sum(2, 8));
define(
  '|| concat list_concat list_cat array_concat array_cat map map_concat struct_pack row struct_insert',
  sum(),
);
define('struct_concat struct_update union_value list_zip array_zip', sum());
define('list_value list_pack array_value', (args) => ({
  ...sum()(args),
  count: args.length + sumOf(args, 'count'),
}));
define('greatest least coalesce case if', sum());
define('lower upper lcase ucase to_base64', sum(2, 8));
define('hex to_hex url_encode nfc_normalize translate regexp_escape', sum(4));
define('bin to_binary', sum(8, 64));
define('md5 sha1 sha256 dayname monthname typeof json_type variant_typeof alias chr', () => ({
  bytes: 64,
  count: 0,
}));
define('strftime', sum(32, 64));
define('replace', replace);
define('regexp_replace', regexpReplace);
define('split string_split str_split string_to_array', split);
define('string_split_regex str_split_regex regexp_split_to_array', ([text = nothing]) => split([text]));
define('repeat', repeat);
define('lpad rpad', pad);
define('printf format', format);
define('bar', ([, , , width = nothing]) => ({ bytes: 4 * sizeOf(width) + 8, count: 0 }));
define('to_base', ([, , width = nothing]) => ({
  bytes: 64 + (width === nothing ? 0 : sizeOf(width)),
  count: 0,
}));
define('bitstring', ([bits = nothing, length = nothing]) => ({
  bytes: bits.bytes + sizeOf(length),
  count: 0,
}));
define('range generate_series', series);
define('equi_width_bins', ([, , bins = nothing]) => ({ bytes: 0, count: sizeOf(bins) + 1 }));
define('list_resize array_resize', resize);
define('list_select array_select', select);
define('list_grade_up array_grade_up grade_up', ([list = nothing]) => ({ bytes: 0, count: list.count }));
define('flatten', first);
define('list_aggregate list_aggr array_aggregate array_aggr aggregate', aggregate);
define('array_to_string list_string_agg', aggregate);
define('concat_ws', withSeparator);
define(
  '-> ->> json_extract json_extract_path json_extract_string json_extract_path_text json_value',
  jsonParts,
);
define('to_json array_to_json row_to_json json_array json_object json_quote json_merge_patch', written(6));
define('json_structure', written(16));
define('json_pretty', pretty);

/** Bound on the value that a function returns. Infinite when a size in its arguments has to be a literal. */
export function resultSize(name: string, args: readonly Argument[]): Size {
  return (rules.get(name) ?? other)(args);
}

/** Bytes that a function needs while it works, beside its result. */
export function scratchSize(name: string, args: readonly Argument[]): number {
  if (name !== 'damerau_levenshtein') return 0;
  return 16 * ((args[0]?.bytes ?? 0) + 2) * ((args[1]?.bytes ?? 0) + 2);
}

/** Bound on a text or list made of any value by a cast. */
export function castSize({ bytes, count, total }: Argument): Size {
  return { bytes: 4 * total + 64, count: bytes + count + 1 };
}

/** Bytes of a value inside a list or struct, in DuckDB's vectors and as a JavaScript value. */
export const slot = 32;

/** Bounds that a type sets on the size of its values. */
export interface Shape {
  /** Bytes of a value without its texts and list elements. */
  width: number;
  /** Bytes of the widest list element in it. */
  element: number;
  text: boolean;
  list: boolean;
}

const texts = new Set(['VARCHAR', 'BLOB', 'BIT', 'BIGNUM', 'GEOMETRY', 'ENUM', 'CHAR']);
const scalar: Shape = { width: slot, element: 0, text: false, list: false };
const anything: Shape = { width: slot, element: slot, text: true, list: true };

export function shapeOf(type: unknown): Shape {
  if (!isNode(type)) return scalar;
  const id = String(type.id);
  const info = isNode(type.type_info) ? type.type_info : {};
  if (texts.has(id)) return { ...scalar, text: true };
  if (id === 'LIST' || id === 'MAP') {
    const child = shapeOf(info.child_type);
    return { width: slot, element: Math.max(child.width, child.element), text: child.text, list: true };
  }
  if (id === 'ARRAY') {
    const child = shapeOf(info.child_type);
    return { ...child, width: child.width * Number(info.size) };
  }
  if (id === 'STRUCT' || id === 'UNION') {
    const members = children(info.child_types).map(({ second }) => shapeOf(second));
    return {
      width: members.reduce((sum, { width }) => sum + width, slot),
      element: members.reduce((most, { element }) => Math.max(most, element), 0),
      text: members.some(({ text }) => text),
      list: members.some(({ list }) => list),
    };
  }
  return /^(?:VARIANT|ANY|UNKNOWN|INVALID|AGGREGATE_STATE|LAMBDA)$/.test(id) ? anything : scalar;
}

export const clamp = ({ bytes, count }: Size, { text, list }: Shape): Size => ({
  bytes: text ? bytes : 0,
  count: list ? count : 0,
});

export const totalOf = ({ bytes, count }: Size, { width, element }: Shape): number =>
  width + bytes + count * element;
