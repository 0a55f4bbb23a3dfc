import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { listedAfter, newestFirst, PageQuery } from './schemas.ts';

/** Labels: names and values by which people and programs find objects again. */

const word = '[A-Za-z0-9](?:[-A-Za-z0-9_./]{0,61}[A-Za-z0-9])?';
const key = new RegExp(`^${word}$`);
const valuePattern = `^(?:${word})?$`;
const value = new RegExp(valuePattern);
const most = 64;

const description =
  'Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and ' +
  'have 63 characters at most; a value may be empty';

export const Labels = Type.Unsafe<Record<string, string>>({
  type: 'object',
  maxProperties: most,
  propertyNames: { pattern: key.source },
  additionalProperties: { type: 'string', pattern: valuePattern },
  description,
  examples: [{ site: 'north' }],
});

/** In a merge patch: null takes a label away. */
export const LabelsPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  maxProperties: most,
  propertyNames: { pattern: key.source },
  additionalProperties: { type: ['string', 'null'], pattern: valuePattern },
  description: 'Labels to set, or with null to remove',
});

export const SelectorQuery = Type.Object(
  {
    label_selector: Type.Optional(
      Type.String({
        maxLength: 1000,
        description:
          'Only objects whose labels satisfy all of these, with commas between them: `a=b`, `a!=b`, `a`, `!a`, ' +
          '`a in (b,c)`, `a notin (b,c)`. An object without the label satisfies `a!=b` and `notin`',
      }),
    ),
  },
  { additionalProperties: false },
);
type SelectorQuery = Static<typeof SelectorQuery>;

export const LabelledPageQuery = Type.Object(
  { ...PageQuery.properties, ...SelectorQuery.properties },
  { additionalProperties: false },
);

interface Requirement {
  key: string;
  /** Which values satisfy it; undefined for a label that must only be there. */
  values: readonly string[] | undefined;
  /** Whether it is satisfied by what does not meet this. */
  negated: boolean;
}

/** Which objects a list is to hold. */
export interface Selector {
  matches(labels: Record<string, string>): boolean;
  /** A part of a `where` that leaves out many of those that do not match, and none of those that do. */
  likely: { AND: { labels: { contains: string } }[] };
}

/** Reads a selector as Kubernetes has them; throws `invalid_request` with what cannot be read. */
export function readSelector({ label_selector: text = '' }: SelectorQuery): Selector | undefined {
  if (text.trim() === '') return undefined;
  // Commas between requirements, not those inside brackets.
  const requirements = text.split(/,(?![^(]*\))/).map(readRequirement);
  return {
    matches: (labels) => requirements.every((requirement) => satisfies(labels, requirement)),
    likely: {
      AND: requirements.flatMap(({ key: name, values, negated }) => {
        if (negated || (values && values.length !== 1)) return [];
        // The text that is stored is JSON, and neither names nor values hold a quote.
        const [only] = values ?? [];
        return [{ labels: { contains: only === undefined ? `"${name}":` : `"${name}":"${only}"` } }];
      }),
    },
  };
}

function readRequirement(text: string): Requirement {
  const set = /^\s*(\S+)\s+(in|notin)\s*\(([^()]*)\)\s*$/.exec(text);
  if (set) {
    const [, name = '', operator, list = ''] = set;
    return checked(text, {
      key: name,
      values: list.split(',').map((item) => item.trim()),
      negated: operator === 'notin',
    });
  }
  const [name = '', operator, ...rest] = text.split(/(!=|==|=)/);
  if (operator !== undefined)
    return checked(text, { key: name.trim(), values: [rest.join('').trim()], negated: operator === '!=' });
  const bare = text.trim();
  const negated = bare.startsWith('!');
  return checked(text, { key: negated ? bare.slice(1).trim() : bare, values: undefined, negated });
}

function checked(text: string, requirement: Requirement): Requirement {
  if (key.test(requirement.key) && (requirement.values ?? []).every((item) => value.test(item)))
    return requirement;
  const message = `cannot be read at ${JSON.stringify(text.trim())}`;
  throw new PenstockError('invalid_request', `label_selector ${message}`, {
    hint: 'Write requirements such as a=b, a!=b, a, !a or a in (b,c), with commas between them.',
    errors: [{ path: '/label_selector', message }],
  });
}

function satisfies(labels: Record<string, string>, { key: name, values, negated }: Requirement): boolean {
  const has = Object.hasOwn(labels, name) && (!values || values.includes(labels[name] as string));
  return has !== negated;
}

interface Row {
  id: string;
  createdAt: bigint;
  labels: string;
}

/** How many rows are looked at in one go for those that a selector wants. */
const batch = 200;

/** What a `where` of a list may hold. */
export type ListFilter = { AND: object[] };
/** What is asked of the database for a list. */
export interface ListQuery {
  where: ListFilter;
  orderBy: [...typeof newestFirst];
  take?: number;
}

/** The rows of a list that a selector wants, newest first: those beyond `after`, and `count` at most, if given. */
export async function selectRows<T extends Row>(
  selector: Selector | undefined,
  after: object,
  count: number | undefined,
  find: (query: ListQuery) => Promise<T[]>,
): Promise<T[]> {
  const orderBy: ListQuery['orderBy'] = [...newestFirst];
  if (!selector) return find({ where: { AND: [after] }, orderBy, ...(count && { take: count }) });
  const found: T[] = [];
  for (let from = after; ; ) {
    const rows = await find({ where: { AND: [from, selector.likely] }, orderBy, take: batch });
    found.push(...rows.filter(({ labels }) => selector.matches(JSON.parse(labels))));
    const last = rows.at(-1);
    if (found.length >= (count ?? Number.POSITIVE_INFINITY) || rows.length < batch || !last)
      return found.slice(0, count);
    from = listedAfter(last);
  }
}
