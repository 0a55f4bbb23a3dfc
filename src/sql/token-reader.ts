import type { Findings, Range } from './diagnostic.ts';
import { isSymbol, isWord, type Token } from './tokens.ts';

/** A name in SQL. `exact` is true for a quoted name, which is case-sensitive. */
export interface Identifier extends Range {
  text: string;
  exact: boolean;
}

/** Reads the tokens of one statement from left to right. A token that does not fit is reported and ends the reading. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  readonly #end: Range;
  readonly findings: Findings;
  #position = 0;

  /** `end` is the end of the statement, where missing tokens are reported. */
  constructor(tokens: readonly Token[], end: Range, findings: Findings) {
    this.#tokens = tokens;
    this.#end = end;
    this.findings = findings;
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#position + ahead];
  }

  get here(): Range {
    return this.peek() ?? this.#end;
  }

  next(): Token | undefined {
    const token = this.peek();
    this.#position += 1;
    return token;
  }

  sees(...texts: string[]): boolean {
    return texts.every((text, index) => {
      const token = this.peek(index);
      return isSymbol(token, text) || isWord(token, text.toLowerCase());
    });
  }

  takes(...texts: string[]): boolean {
    if (!this.sees(...texts)) return false;
    this.#position += texts.length;
    return true;
  }

  expect(text: string, where: string): void {
    if (!this.takes(text)) this.refuse(`${text} is missing ${where}`);
  }

  identifier(what: string): Identifier {
    const token = this.peek();
    if (token?.kind !== 'word' && token?.kind !== 'name') return this.refuse(`${what} is missing here`);
    if (token.text === '') this.refuse('A name must not be empty');
    this.#position += 1;
    return { text: token.text, exact: token.kind === 'name', from: token.from, to: token.to };
  }

  tableName(kind: string): Identifier {
    const name = this.identifier(`The name of the ${kind}`);
    if (this.sees('.')) this.refuse(`Schemas are not supported; write the name of the ${kind} alone`);
    return name;
  }

  rest(): readonly Token[] {
    return this.#tokens.slice(this.#position);
  }

  string(what: string): Token {
    const token = this.peek();
    if (token?.kind !== 'string') return this.refuse(`${what} must be a string in single quotes`);
    this.#position += 1;
    return token;
  }

  count(what: string): number {
    const token = this.peek();
    if (token?.kind !== 'number' || !/^\d{1,9}$/.test(token.text))
      return this.refuse(`${what} must be a whole number`);
    this.#position += 1;
    return Number(token.text);
  }

  refuse(message: string, range: Range = this.here): never {
    return this.findings.stop(message, range);
  }
}
