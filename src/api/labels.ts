import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';
import { labelKeyPattern, labelValuePattern, maxLabels } from '../jobs/placement.ts';
import { listedAfter, newestFirst, PageQuery } from './schemas.ts';

const key = new RegExp(labelKeyPattern);
const value = new RegExp(labelValuePattern);

const description =
  'Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or ' +
  'digit. A value may be empty';

export const Labels = Type.Unsafe<Record<string, string>>({
  type: 'object',
  maxProperties: maxLabels,
  propertyNames: { pattern: key.source },
  additionalProperties: { type: 'string', pattern: labelValuePattern },
  description,
  examples: [{ site: 'north' }],
});

/** In a merge patch: null removes a label. */
export const LabelsPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  maxProperties: maxLabels,
  propertyNames: { pattern: key.source },
  additionalProperties: { type: ['string', 'null'], pattern: labelValuePattern },
  description: 'Labels to set; null removes one',
});

const placement =
  'Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job';

export const Placement = Type.Unsafe<Record<string, string>>({
  ...Labels,
  description: placement,
  examples: [{ site: 'north' }],
});

export const PlacementPatch = Type.Unsafe<Record<string, string | null> | null>({
  ...LabelsPatch,
  description: `${placement}. In a patch, null removes one`,
});

export const SelectorQuery = Type.Object(
  {
    label_selector: Type.Optional(
      Type.String({
        maxLength: 1000,
        description:
          'Comma-separated conditions on labels: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`. An object ' +
          'without the label satisfies `a!=b` and `notin`',
      }),
    ),
  },
  { additionalProperties: false },
);
type SelectorQuery = Static<typeof SelectorQuery>;

/** Parameters of a list. Config and queries are not searched: a secret in them could be guessed bit by bit. */
export const SelectionQuery = Type.Object(
  {
    ...SelectorQuery.properties,
    search: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description:
          'Text to find in the name, the id, the connector, or a label written `key=value`. Case does not matter, also ' +
          'beyond ASCII, and no character is a wildcard. Pipelines have no connector',
      }),
    ),
  },
  { additionalProperties: false },
);
type SelectionQuery = Static<typeof SelectionQuery>;

export const SelectionPageQuery = Type.Object(
  { ...PageQuery.properties, ...SelectionQuery.properties },
  { additionalProperties: false },
);

interface Requirement {
  key: string;
  /** The values that satisfy it; undefined if any does. */
  values: readonly string[] | undefined;
  negated: boolean;
}

export interface Selector {
  matches(labels: Record<string, string>): boolean;
  /** A condition for the database that all matching rows satisfy, but not only these. */
  likely: { AND: { labels: { contains: string } }[] };
}

/** The columns of a row that decide whether it is selected. */
export interface BriefRow {
  id: string;
  name: string;
  connector?: string;
  labels: string;
  createdAt: bigint;
}

/** Selects these columns, except the connector. */
export const brief = { id: true, name: true, labels: true, createdAt: true } as const;

export interface Selection {
  matches(row: BriefRow): boolean;
  /** As in `Selector`. */
  likely: object;
}

/** Reads the parameters of a list; undefined if every row is selected. Throws `invalid_request`. */
export function readSelection(query: SelectionQuery): Selection | undefined {
  const selector = readSelector(query);
  if (query.search === undefined) return selector && selectionOf(selector);
  const hasText = finder(query.search);
  return {
    matches(row) {
      const labels = JSON.parse(row.labels) as Record<string, string>;
      return (!selector || selector.matches(labels)) && hasText({ ...row, labels });
    },
    likely: selector?.likely ?? {},
  };
}

interface Searched {
  id: string;
  name: string;
  connector?: string;
  labels: Record<string, string>;
}

/** Tells whether an object has the text of `search`: see `SelectionQuery`. */
export function finder(search: string): (object: Searched) => boolean {
  const wanted = folded(search);
  return ({ id, name, connector = '', labels }) => {
    const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    return [name, id, connector, ...pairs].some((text) => folded(text).includes(wanted));
  };
}

export const selectionOf = ({ matches, likely }: Selector): Selection => ({
  matches: ({ labels }) => matches(JSON.parse(labels)),
  likely,
});

/** Compared here and not in the database: SQLite folds the case of ASCII only. */
const folded = (text: string): string => text.normalize('NFC').toUpperCase();

/** Reads a selector in the syntax of Kubernetes. Throws `invalid_request`. */
export function readSelector({ label_selector: text = '' }: SelectorQuery): Selector | undefined {
  if (text.trim() === '') return undefined;
  // Splits at commas outside of brackets.
  const requirements = text.split(/,(?![^(]*\))/).map(readRequirement);
  return {
    matches: (labels) => requirements.every((requirement) => satisfies(labels, requirement)),
    likely: {
      AND: requirements.flatMap(({ key: name, values, negated }) => {
        if (negated || (values && values.length !== 1)) return [];
        // Labels are stored as JSON, and neither names nor values contain a quote.
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
    hint: 'Separate conditions such as a=b, a!=b, a, !a or a in (b,c) with commas.',
    errors: [{ path: '/label_selector', message }],
  });
}

function satisfies(labels: Record<string, string>, { key: name, values, negated }: Requirement): boolean {
  const has = Object.hasOwn(labels, name) && (!values || values.includes(labels[name] as string));
  return has !== negated;
}

/** Number of rows that are looked at in one query. */
const batch = 500;

export interface ListQuery {
  where: { AND: object[] };
  orderBy: [...typeof newestFirst];
  take?: number;
}

interface Selectable<T> {
  rows(query: ListQuery): Promise<T[]>;
  brief(query: ListQuery): Promise<BriefRow[]>;
}

/** Returns the selected rows, newest first: at most `count`, if given, that satisfy `after`. */
export async function selectRows<T>(
  selection: Selection | undefined,
  after: object,
  count: number | undefined,
  { rows, brief }: Selectable<T>,
): Promise<T[]> {
  const orderBy: ListQuery['orderBy'] = [...newestFirst];
  if (!selection) return rows({ where: { AND: [after] }, orderBy, ...(count && { take: count }) });
  const found: T[] = [];
  for (let from = after; ; ) {
    const seen = await brief({ where: { AND: [from, selection.likely] }, orderBy, take: batch });
    const missing = (count ?? Number.POSITIVE_INFINITY) - found.length;
    const selected = seen.filter(selection.matches).slice(0, missing);
    const ids = selected.map(({ id }) => id);
    if (ids.length > 0) found.push(...(await rows({ where: { AND: [{ id: { in: ids } }] }, orderBy })));
    const isFull = found.length >= (count ?? Number.POSITIVE_INFINITY);
    // A row that is deleted meanwhile leaves a place for a later one.
    const last = (selected.length === missing ? selected : seen).at(-1);
    if (isFull || !last || (seen.length < batch && selected.length < missing)) return found;
    from = listedAfter(last);
  }
}
