/** Every connector, one line each. */
export { mqtt } from './mqtt/index.ts';
