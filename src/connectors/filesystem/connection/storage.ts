import type { RunContext } from '../../connector.ts';
import type { S3Profile } from '../config/profile.ts';
import type { FilesystemTable } from '../config/table.ts';

/** A place that takes whole files. */
export interface Storage {
  /**
   * Makes a file visible, whole and durable. Returns false if `exclusive` and the name is taken. `folder` is relative,
   * without a slash at its end.
   */
  put(folder: string, name: string, data: Buffer[], exclusive: boolean): Promise<boolean>;
  /** The names of the files of a folder. */
  names(folder: string): Promise<string[]>;
  /** Cancels what is running. Never throws. */
  close(): Promise<void>;
}

export type SinkContext = RunContext<S3Profile, FilesystemTable>;
