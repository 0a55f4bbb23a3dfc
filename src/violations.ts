import type { FieldError } from './errors.ts';

/** One violation as a JSON Schema validator (Ajv, TypeBox) reports it. */
interface SchemaViolation {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  message?: string;
  params: object;
}

/**
 * Turns the findings of a validator into sentences that explain what to change: one per path, the most helpful first,
 * at most 20.
 */
export function explainViolations(violations: Iterable<SchemaViolation>): FieldError[] {
  const found = new Map<string, FieldError>();
  const unions: FieldError[] = [];
  for (const violation of likelyMeant([...violations])) {
    if (found.size >= 20) break;
    const explained = explainViolation(violation);
    const aside = ['anyOf', 'oneOf', 'discriminator'].includes(violation.keyword) || isOrNull(violation);
    if (aside) unions.push(...explained);
    else for (const error of explained) if (!found.has(error.path)) found.set(error.path, error);
  }
  return found.size > 0 ? [...found.values()] : unions;
}

const branch = /^(.*?\/(?:oneOf|anyOf))\/(\d+)\//;
const structural: readonly string[] = ['additionalProperties', 'required', 'boolean'];

/**
 * Returns the violations of the probably intended branch of a union: the first with the fewest missing and extra
 * properties.
 */
function likelyMeant(violations: SchemaViolation[]): SchemaViolation[] {
  const strangers = new Map<string, Map<string, number>>();
  for (const violation of violations) {
    const { schemaPath, keyword } = violation;
    const [, choice, shape] = branch.exec(`${schemaPath}/`) ?? [];
    if (choice === undefined || shape === undefined) continue;
    const shapes = strangers.get(choice) ?? new Map<string, number>();
    strangers.set(choice, shapes);
    const strange = isOrNull(violation) ? Number.POSITIVE_INFINITY : Number(structural.includes(keyword));
    shapes.set(shape, (shapes.get(shape) ?? 0) + strange);
  }
  const meant = new Map(
    [...strangers].map(([choice, shapes]) => [choice, [...shapes].sort(([, a], [, b]) => a - b)[0]?.[0]]),
  );
  return violations.filter(({ schemaPath }) => {
    const [, choice = '', shape] = branch.exec(`${schemaPath}/`) ?? [];
    return shape === undefined || meant.get(choice) === shape;
  });
}

/** Whether this is the null branch of a union: the other branch was intended. */
const isOrNull = ({ schemaPath, message }: SchemaViolation): boolean =>
  message === 'must be null' && /\/(?:oneOf|anyOf)\/\d+(?:\/type)?$/.test(schemaPath);

const asList = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : [String(value)]);

function explainViolation({ keyword, instancePath, message, params }: SchemaViolation): FieldError[] {
  const given = params as Record<string, unknown>;
  const below = (name: string): string =>
    `${instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  switch (keyword) {
    case 'additionalProperties':
      return asList(given.additionalProperty ?? given.additionalProperties).map((name) => ({
        path: below(name),
        message: 'is not a known field; remove it or correct its name',
      }));
    // TypeBox reports the same property once more, as one that the schema `false` refuses.
    case 'boolean':
      return [{ path: instancePath, message: 'is not a known field; remove it or correct its name' }];
    case 'required':
      return asList(given.missingProperty ?? given.requiredProperties).map((name) => ({
        path: below(name),
        message: 'is required',
      }));
    case 'enum':
      return [{ path: instancePath, message: `must be one of ${asList(given.allowedValues).join(', ')}` }];
    case 'const':
      return [{ path: instancePath, message: `must be ${JSON.stringify(given.allowedValue)}` }];
    default:
      return [{ path: instancePath, message: message ?? `does not satisfy ${keyword}` }];
  }
}
