import type { Server } from './server.ts';

/** The terminal, or whatever takes its place, and the environment. */
export interface Terminal {
  /** To the standard output, with a line break. */
  print(text: string): void;
  /** To the standard error, with a line break. */
  complain(text: string): void;
  /** Whether somebody looks at the standard output. */
  fancy: boolean;
  standardInput(): Promise<string>;
  environment: Record<string, string | undefined>;
}

/** Wrong arguments. */
export class Usage extends Error {}

/** Every option of the client commands. */
export const options = {
  file: { type: 'string', short: 'f' },
  selector: { type: 'string', short: 'l' },
  output: { type: 'string' },
  server: { type: 'string' },
  plan: { type: 'string' },
  format: { type: 'string' },
  seconds: { type: 'string' },
  rows: { type: 'string' },
  'exit-code': { type: 'boolean' },
  'no-publish': { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  help: { type: 'boolean' },
} as const;
export type Option = keyof typeof options;

export interface Asked {
  server: Server;
  terminal: Terminal;
  words: string[];
  values: Partial<Record<Option, string | boolean>>;
  /** Whether the answer is for a program. */
  json: boolean;
  /** The text of `--file`. */
  file(): Promise<string>;
}
