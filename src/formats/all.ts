/** Every format, one line each. */
export { json } from './json.ts';
export { rawBytes } from './raw-bytes.ts';
export { rawString } from './raw-string.ts';
