import { type OptionValues, UsageError } from '../commands.ts';
import type { Server } from './server.ts';

/** The terminal or its substitute, and the environment. */
export interface Terminal {
  /** Writes a line to standard output. */
  print(text: string): void;
  /** Writes a line to standard error. */
  complain(text: string): void;
  /** Whether standard output is a terminal that shows colours. */
  fancy: boolean;
  standardInput(): Promise<string>;
  environment: Record<string, string | undefined>;
}

/** A client command with everything it needs. */
export interface Request {
  server: Server;
  terminal: Terminal;
  words: string[];
  values: OptionValues;
  /** Whether the output is for a program. */
  json: boolean;
  /** Returns the text of `--file`. */
  file(): Promise<string>;
}

export const usageError = (message: string): UsageError => new UsageError(message, 'plan');
