import { PenstockError } from '../errors.ts';

/** A place in a query. Lines and columns count from 1, columns in characters; `end` is exclusive. */
interface Span {
  start: Location;
  end: Location;
}

interface Location {
  line: number;
  column: number;
}

/** One mistake in a query, and its place if it has one. Arroyo's `SqlDiagnostic`. */
export interface Diagnostic {
  message: string;
  span?: Span;
}

/** A part of a query's text: offsets in UTF-16 units, `to` is exclusive. */
export interface Range {
  from: number;
  to: number;
}

/** Collects the mistakes in one query, so that several can be reported at once. */
export class Findings {
  readonly #query: string;
  readonly #diagnostics: Diagnostic[] = [];

  constructor(query: string) {
    this.#query = query;
  }

  add(message: string, range?: Range): void {
    const span = range && { start: this.#location(range.from), end: this.#location(range.to) };
    if (this.#diagnostics.some((known) => known.message === message && sameStart(known.span, span))) return;
    this.#diagnostics.push(span ? { message, span } : { message });
  }

  /** Adds a finding after which the query cannot be checked further, and throws them all. */
  stop(message: string, range?: Range): never {
    this.add(message, range);
    throw this.#error();
  }

  /** A part of the query's text. */
  textOf({ from, to }: Range): string {
    return this.#query.slice(from, to);
  }

  /** Everything that was added. */
  all(): Diagnostic[] {
    return [...this.#diagnostics];
  }

  /** Throws `invalid_query` if there are any findings. */
  settle(): void {
    if (this.#diagnostics.length > 0) throw this.#error();
  }

  #error(): PenstockError {
    const [first] = this.#diagnostics;
    const errors = this.#diagnostics.map(({ message, span }) => ({
      path: '/query',
      message: span ? `Line ${span.start.line}, column ${span.start.column}: ${message}` : message,
    }));
    const cause = { diagnostics: [...this.#diagnostics] };
    return new PenstockError('invalid_query', first?.message ?? 'The query is invalid', { errors, cause });
  }

  #location(offset: number): Location {
    const before = this.#query.slice(0, offset).split(/\r\n|\r|\n/);
    return { line: before.length, column: [...(before.at(-1) ?? '')].length + 1 };
  }
}

/** The diagnostics of an `invalid_query` error; undefined for any other error. */
export function diagnosticsOf(error: unknown): Diagnostic[] | undefined {
  if (!(error instanceof PenstockError) || error.code !== 'invalid_query') return undefined;
  const cause = error.cause as { diagnostics?: Diagnostic[] } | undefined;
  return cause?.diagnostics ?? [{ message: error.message }];
}

function sameStart(one: Span | undefined, other: Span | undefined): boolean {
  return one?.start.line === other?.start.line && one?.start.column === other?.start.column;
}
