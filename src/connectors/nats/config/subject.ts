import { checkTemplate, columnsIn, constantParts } from '../../network/template.ts';

/** Subjects of NATS: tokens with dots between them. A server takes any but the ones refused here. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they would end a line of the protocol
const foreign = /[\s\0-\x1f\x7f]/;

/** Returns what is wrong with a subject to publish to as a predicate, or null. */
export function checkSubject(subject: string): string | null {
  if (subject === '') return 'must not be empty';
  if (foreign.test(subject)) return 'must not have spaces or control characters';
  const tokens = subject.split('.');
  if (tokens.includes('')) return 'must not begin or end with a dot, or have two in a row';
  if (tokens.includes('*') || tokens.includes('>')) return 'must not have the wildcards * and >';
  return null;
}

/** As `checkSubject` for a subject to read, which may have wildcards. */
export function checkFilter(subject: string): string | null {
  const tokens = subject.split('.');
  if (tokens.slice(0, -1).includes('>')) return 'may have the wildcard > at its end only';
  return checkSubject(tokens.map((token) => (token === '*' || token === '>' ? 'x' : token)).join('.'));
}

/** As `checkSubject` for a subject with columns, each of which gives at least one character. */
export const checkSubjectTemplate = (text: string): string | null =>
  checkTemplate(text) ??
  (columnsIn(text).length === 0 ? checkSubject(text) : checkSubject(text.replaceAll(/\{\{.*?\}\}/gs, 'x'))) ??
  (foreign.test(constantParts(text)) ? 'must not have spaces or control characters' : null);

/** Whether a subject, which may have wildcards itself, matches only what `filter` matches. */
export function covers(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    const own = tokens[index];
    if (own === undefined || own === '>' || (token !== '*' && token !== own)) return false;
  }
  return wanted.length === tokens.length;
}

/** Whether two subjects with wildcards have one in common. */
export function overlaps(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')];
  for (let index = 0; ; index++) {
    const [left, right] = [a[index], b[index]];
    if (left === undefined || right === undefined) return left === right;
    if (left === '>' || right === '>') return true;
    if (left !== '*' && right !== '*' && left !== right) return false;
  }
}
