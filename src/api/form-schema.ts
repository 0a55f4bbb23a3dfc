type Schema = { [keyword: string]: unknown };

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A connector's schema as Arroyo's web forms read it. They keep values of their own among those that they validate, so
 * unknown fields are not forbidden in what is published (a request with one is refused all the same), and they draw an
 * enumeration only when its type is given.
 */
export function formSchema(schema: unknown): Schema {
  return relaxed(JSON.parse(JSON.stringify(schema)), false) as Schema;
}

/** Alternatives (`oneOf`, `anyOf`) keep what they forbid: it is what tells them apart. */
function relaxed(value: unknown, alternative: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => relaxed(item, alternative));
  if (!isSchema(value)) return value;
  const { additionalProperties, ...rest } = value;
  const kept = alternative || additionalProperties !== false ? value : rest;
  const typed = isTextEnum(kept) ? { type: 'string', ...kept } : kept;
  return Object.fromEntries(
    Object.entries(typed).map(([keyword, inner]) => [
      keyword,
      relaxed(inner, alternative || keyword === 'oneOf' || keyword === 'anyOf'),
    ]),
  );
}

const isTextEnum = ({ enum: values, type }: Schema): boolean =>
  type === undefined && Array.isArray(values) && values.every((value) => typeof value === 'string');
