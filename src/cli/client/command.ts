import { type OptionValues, UsageError } from '../commands.ts';
import type { Server } from './server.ts';

export interface Terminal {
  print(text: string): void;
  complain(text: string): void;
  /** Whether standard output is a terminal that shows colours. */
  fancy: boolean;
  standardInput(): Promise<string>;
  environment: Record<string, string | undefined>;
}

export interface Request {
  server: Server;
  terminal: Terminal;
  words: string[];
  values: OptionValues;
  json: boolean;
  file(): Promise<string>;
}

export const usageError = (message: string): UsageError => new UsageError(message, 'plan');
