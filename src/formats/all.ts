/** Every format, one line each. */
export { csv } from './csv.ts';
export { json } from './json.ts';
export { rawBytes } from './raw-bytes.ts';
export { rawString } from './raw-string.ts';
