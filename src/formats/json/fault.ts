/** Explains why a text is not JSON: the place and the kind of character there, never what it says. */

export interface Fault {
  /** Offset in bytes, from 0. */
  byte: number;
  /** Goes with the place, e.g. `a single quote where a name should begin`. */
  kind: string;
}

type Expected = keyof typeof wanted;

/** Continues `… where`. */
const wanted = {
  value: 'a value should begin',
  item: 'a value or ] should stand',
  firstName: 'a name in double quotes or } should stand',
  name: 'a name in double quotes should begin',
  colon: 'a colon should stand',
  objectRest: 'a comma or } should stand',
  arrayRest: 'a comma or ] should stand',
  nothing: 'the document has ended',
} as const;

/** The first place at which a text stops being a JSON document (RFC 8259); undefined if it never does. */
export function jsonFault(text: string): Fault | undefined {
  const scan = new Scan(text);
  const kind = scan.run();
  return kind === undefined ? undefined : { byte: Buffer.byteLength(text.slice(0, scan.at)), kind };
}

/** `is not a JSON document: byte 12 is …`. */
export function notJson(text: string, what = 'document'): string {
  const fault = jsonFault(text);
  return `is not a JSON ${what}${fault ? `: byte ${fault.byte} is ${fault.kind}` : ''}`;
}

const whiteSpace = /[ \t\n\r]*/y;
const aNumber = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const aWord = /[\p{L}_$][\p{L}\p{N}_$]*/uy;
const afterNumber = /[\p{L}\p{N}_.+-]/u;
const escapes = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

class Scan {
  at = 0;
  readonly #text: string;
  readonly #open: string[] = [];
  #expected: Expected = 'value';
  /** Whether the token before was a comma. */
  #afterComma = false;

  constructor(text: string) {
    this.#text = text;
  }

  run(): string | undefined {
    while (true) {
      this.#match(whiteSpace);
      if (this.at >= this.#text.length) return this.#atEnd();
      const kind = this.#step(this.#text[this.at] as string);
      if (kind !== undefined) return kind;
    }
  }

  #atEnd(): string | undefined {
    if (this.#expected === 'nothing') return undefined;
    if (this.#open.length === 0) return 'the end of the text, before any value';
    return `the end of the text, where ${wanted[this.#expected]}: the document is cut off`;
  }

  #step(character: string): string | undefined {
    const expected = this.#expected;
    if (expected === 'nothing') return this.#secondValue(character);
    if (expected === 'firstName' || expected === 'name') return this.#name(character);
    if (expected === 'colon') {
      if (character !== ':') return this.#wrong(character);
      return this.#take('value');
    }
    if (expected === 'objectRest' || expected === 'arrayRest') return this.#rest(character);
    return this.#value(character);
  }

  #take(next: Expected, comma = false): undefined {
    this.at += 1;
    this.#expected = next;
    this.#afterComma = comma;
  }

  #name(character: string): string | undefined {
    if (character === '}' && this.#expected === 'firstName') return this.#close();
    if (character !== '"') return this.#wrong(character);
    const kind = this.#string();
    this.#expected = 'colon';
    return kind;
  }

  #rest(character: string): string | undefined {
    const inObject = this.#expected === 'objectRest';
    if (character === ',') return this.#take(inObject ? 'name' : 'value', true);
    return character === (inObject ? '}' : ']') ? this.#close() : this.#wrong(character);
  }

  #close(): undefined {
    this.at += 1;
    this.#open.pop();
    this.#valueEnded();
  }

  #valueEnded(): undefined {
    const [inside] = this.#open.slice(-1);
    this.#expected = inside === undefined ? 'nothing' : inside === '{' ? 'objectRest' : 'arrayRest';
    this.#afterComma = false;
  }

  #value(character: string): string | undefined {
    if (character === '{' || character === '[') {
      this.#open.push(character);
      return this.#take(character === '{' ? 'firstName' : 'item');
    }
    if (character === ']' && this.#expected === 'item') return this.#close();
    if (character === '"') return this.#string() ?? this.#valueEnded();
    const number = this.#match(aNumber);
    if (number !== '') return this.#number(number);
    const word = this.#peek(aWord);
    if (word !== 'true' && word !== 'false' && word !== 'null') return this.#wrong(character);
    this.at += word.length;
    return this.#valueEnded();
  }

  #number(number: string): string | undefined {
    const next = this.#text[this.at] ?? '';
    if (!afterNumber.test(next)) return this.#valueEnded();
    if (/^-?0$/.test(number) && /\d/.test(next)) return 'a digit after a leading zero';
    if (/\d/.test(next) || this.#expected === 'nothing') return this.#wrong(next);
    return `${kindOf(next)} in or after a number`;
  }

  /** Reads from the quote on. */
  #string(): string | undefined {
    const text = this.#text;
    this.at += 1;
    while (this.at < text.length) {
      const code = text.charCodeAt(this.at);
      if (code === 0x22) {
        this.at += 1;
        return undefined;
      }
      if (code < 0x20) return `${kindOf(text[this.at] as string)} inside a string, where it must be escaped`;
      if (code !== 0x5c) this.at += 1;
      else if (this.#match(escapes) === '')
        return 'a backslash that begins no escape of JSON, inside a string';
    }
    return 'the end of the text, inside a string: the document is cut off';
  }

  #secondValue(character: string): string {
    const another = /["{[\-\dtfn]/.test(character);
    const hint = another
      ? ': a second value follows; if each line is a document, set the framing to newline'
      : '';
    return `${kindOf(character)} after the end of the document${hint}`;
  }

  #wrong(character: string): string {
    const place = `where ${wanted[this.#expected]}`;
    if ((character === '}' || character === ']') && this.#afterComma)
      return `${kindOf(character)} after a comma, ${place}: a trailing comma`;
    const word = this.#peek(aWord);
    if (character === '-' && /^-Infinity/.test(this.#text.slice(this.at, this.at + 9)))
      return `the word -Infinity, which JSON does not have, ${place}`;
    if (/^(?:NaN|nan|Infinity|inf|undefined|None|True|False|TRUE|FALSE|NULL|Null)$/.test(word))
      return `the word ${word}, which JSON does not have, ${place}`;
    if (character === '/' && /[/*]/.test(this.#text[this.at + 1] ?? ''))
      return `the beginning of a comment, ${place}`;
    return `${kindOf(character)}, ${place}`;
  }

  #peek(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    return pattern.exec(this.#text)?.[0] ?? '';
  }

  #match(pattern: RegExp): string {
    const found = this.#peek(pattern);
    this.at += found.length;
    return found;
  }
}

const named: Readonly<Record<string, string>> = {
  '\u0000': 'a zero byte',
  '\ufeff': 'a byte order mark',
  '\u00a0': 'a no-break space',
  '"': 'a double quote',
  "'": 'a single quote',
  '`': 'a backquote',
  '\\': 'a backslash',
  '\n': 'a line end',
  '\r': 'a carriage return',
  '\t': 'a tab',
  ',': 'a comma',
  ';': 'a semicolon',
  ':': 'a colon',
  '.': 'a point',
  '+': 'a plus sign',
  '-': 'a minus sign',
  '=': 'an equals sign',
  '#': 'a number sign',
  '/': 'a slash',
  '<': 'a less-than sign',
  '{': 'an opening brace',
  '}': 'a closing brace',
  '[': 'an opening bracket',
  ']': 'a closing bracket',
};

function kindOf(character: string): string {
  const known = named[character];
  if (known !== undefined) return known;
  const code = character.charCodeAt(0);
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 'a control character';
  if (/\d/.test(character)) return 'a digit';
  if (/[a-zA-Z]/.test(character)) return 'a letter';
  return code < 0x80 ? 'another ASCII character' : 'a character outside ASCII';
}

/** `is not UTF-8 text: byte 3 begins no character`, with what the bytes may be instead. */
export function notUtf8(payload: Buffer): string {
  const byte = firstInvalid(payload);
  const cut = byte === payload.length;
  return `is not UTF-8 text: ${cut ? 'it ends inside a character' : `byte ${byte} fits no character`}${packed(payload)}`;
}

/** Kinds of bytes that are no text. */
function packed(payload: Buffer): string {
  const [first = 0, second = 0] = payload;
  if (first === 0x1f && second === 0x8b) return '; it begins as gzip does: set the compression to gzip';
  if (first === 0x78 && (first * 256 + second) % 31 === 0)
    return '; it begins as zlib does, which is not supported';
  if (first === 0x28 && second === 0xb5) return '; it begins as zstandard does, which is not supported';
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    return '; it begins as UTF-16 does, and JSON is UTF-8';
  return '; it is binary, or text in another encoding';
}

/** The offset of the first byte that is not part of a character in UTF-8. */
function firstInvalid(payload: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let [valid, invalid] = [0, payload.length];
  // The longest prefix that decodes: `stream` lets a character be cut at its end.
  while (valid < invalid) {
    const middle = Math.ceil((valid + invalid) / 2);
    if (decodes(decoder, payload.subarray(0, middle))) valid = middle;
    else invalid = middle - 1;
  }
  return valid;
}

function decodes(decoder: InstanceType<typeof TextDecoder>, bytes: Buffer): boolean {
  try {
    decoder.decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  } finally {
    try {
      decoder.decode();
    } catch {}
  }
}
