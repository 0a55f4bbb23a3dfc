import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { codecFor } from '../codec.ts';
import { jsonFault } from './fault.ts';
import { isJson } from './text.ts';

const codec = codecFor({ format: { type: 'json' }, fields: [{ name: 'a', type: 'json' }] });

function problem(payload: string | Buffer): string {
  try {
    codec.decode(Buffer.from(payload));
  } catch (error) {
    return (error as Error).message;
  }
  return 'is read';
}

test.each<[name: string, payload: string | Buffer, byte: number, kind: string]>([
  ['nothing but white space', ' \n ', 3, 'the end of the text, before any value'],
  ['a byte order mark', '\ufeff{"a":1}', 0, 'a byte order mark'],
  ['a zero byte at the end', '{"a":1}\0', 7, 'a zero byte after the end'],
  ['UTF-16 without a mark', Buffer.from('{"a":1}', 'utf16le'), 1, 'a zero byte'],
  ['NaN', '{"a":NaN}', 5, 'the word NaN, which JSON does not have'],
  ['minus infinity', '{"a":-Infinity}', 5, 'the word -Infinity'],
  ['the words of Python', '{"a":None}', 5, 'the word None'],
  ['a capital True', '{"a":True}', 5, 'the word True'],
  ['single quotes', "{'a':1}", 1, 'a single quote, where a name in double quotes'],
  ['a name without quotes', '{a:1}', 1, 'a letter, where a name in double quotes'],
  ['a comma at the end of an object', '{"a":1,}', 7, 'a trailing comma'],
  ['a comma at the end of a list', '[1,]', 3, 'a trailing comma'],
  ['a comment', '{"a":1} // ok', 8, 'a slash after the end'],
  ['a comment in the middle', '{/* x */"a":1}', 1, 'the beginning of a comment'],
  ['half an object', '{"a":{"b":[1', 12, 'the document is cut off'],
  ['half a string', '{"a":"bc', 8, 'inside a string: the document is cut off'],
  ['a cut in a word', '{"a":tru', 5, 'a letter, where a value should begin'],
  ['two documents', '{"a":1}{"a":2}', 7, 'set the framing to newline'],
  ['two lines', '{"a":1}\n{"a":2}\n', 8, 'set the framing to newline'],
  ['a leading zero', '{"a":01}', 6, 'a digit after a leading zero'],
  ['a plus sign', '{"a":+1}', 5, 'a plus sign'],
  ['a number without a digit before the point', '{"a":.5}', 5, 'a point'],
  ['a number without a digit after the point', '{"a":1.}', 6, 'a point in or after a number'],
  ['a decimal comma', '{"a":1,5}', 7, 'a digit, where a name'],
  ['a hexadecimal number', '{"a":0x1F}', 6, 'a letter in or after a number'],
  ['a line end in a string', '{"a":"b\nc"}', 7, 'a line end inside a string'],
  ['an escape that JSON does not have', '{"a":"b\\xc"}', 7, 'a backslash that begins no escape'],
  ['a place after characters of several bytes', '{"ä€𝄞":x}', 13, 'a letter'],
  ['XML', '<a>1</a>', 0, 'a less-than sign'],
  ['a word', 'offline', 0, 'a letter'],
  ['text in hexadecimal', '7b2261223a317d', 1, 'a letter in or after a number'],
  ['base64', 'eyJhIjoxfQ==', 0, 'a letter'],
  ['a missing colon', '{"a" 1}', 5, 'a digit, where a colon should stand'],
  ['a missing comma', '{"a":1 "b":2}', 7, 'a double quote, where a comma or }'],
  ['the wrong bracket', '[1}', 2, 'a closing brace, where a comma or ]'],
])('an error names the byte and the kind of character: %s', (_name, payload, byte, kind) => {
  const message = problem(payload);
  expect(message).toContain(`The payload is not a JSON document: byte ${byte} is `);
  expect(message).toContain(kind);
});

test.each<[name: string, payload: Buffer, text: string]>([
  ['gzip', gzipSync('{"a":1}'), 'set the compression to gzip'],
  ['zlib', deflateSync('{"a":1}'), 'begins as zlib does'],
  ['UTF-16 with a mark', Buffer.from('\ufeff{"a":1}', 'utf16le'), 'begins as UTF-16 does'],
  ['Latin-1', Buffer.from('{"a":"ü"}', 'latin1'), 'byte 6 fits no character'],
  ['a cut inside a character', Buffer.from('{"a":"ü"}').subarray(0, 7), 'ends inside a character'],
])('an error says what bytes that are no UTF-8 look like: %s', (_name, payload, text) => {
  expect(problem(payload)).toContain('is not UTF-8 text: ');
  expect(problem(payload)).toContain(text);
});

test('an error quotes nothing of the payload', () => {
  for (const secret of ['{"pin":s3cret}', '{s3cret:1}', '"s3cret', 's3cret', '{"a":1}s3cret'])
    expect(problem(secret)).not.toContain('s3cret');
});

test('a fault is found in exactly the texts that are not JSON, without deep recursion', () => {
  const characters = fc.constantFrom(...'{}[],:"\\ 01.-+eEtrufalsn\n\0ü/\''.split(''));
  const texts = fc.oneof(
    fc.array(characters, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.tuple(fc.json(), fc.nat(), characters).map(([json, at, one]) => {
      const place = at % (json.length + 1);
      return json.slice(0, place) + one + json.slice(place);
    }),
    fc.json(),
  );
  fc.assert(
    fc.property(texts, (text) => {
      expect(jsonFault(text) === undefined).toBe(isJson(text));
    }),
    { numRuns: 5_000 },
  );
  expect(jsonFault('['.repeat(1_000_000))?.byte).toBe(1_000_000);
});
