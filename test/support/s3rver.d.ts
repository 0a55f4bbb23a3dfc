/** The part of s3rver that tests use: it has no types of its own. */
declare module 's3rver' {
  export interface Exchange {
    req: import('node:http').IncomingMessage;
    method: string;
    query: Record<string, string | string[] | undefined>;
    status: number;
    type: string;
    body: unknown;
  }
  export default class S3rver {
    readonly middleware: ((exchange: Exchange, next: () => Promise<void>) => Promise<void>)[];
    constructor(options: object);
    run(): Promise<{ port: number }>;
    close(): Promise<void>;
  }
}
