/** The parts of amqplib that it does not export, as far as they are used. */

declare module '*/amqplib/lib/connection.js' {
  import type { EventEmitter } from 'node:events';
  import type { Duplex } from 'node:stream';

  export class Connection extends EventEmitter {
    constructor(stream: Duplex);
    readonly serverProperties: Record<string, unknown>;
    readonly frameMax: number;
    /** Bytes that are no whole frame yet. */
    rest: Buffer;
    /** Whether the server sent something, for the heartbeat. */
    recvSinceLastCheck: boolean;
    readonly maxFrameSize: number;
    readonly heartbeat: number;
    /** By number; null if it is closed. The buffer has what was written and is not sent. */
    readonly channels: ({ buffer: Duplex } | null)[];
    /** The next frame; false if it has not arrived. */
    recvFrame(): unknown;
    open(fields: object, callback: (error: Error | null) => void): void;
    close(callback: () => void): void;
    /** Ends everything as after an error of the socket. */
    onSocketError(error: Error): void;
  }
}

declare module '*/amqplib/lib/frame.js' {
  export interface Frame {
    id?: number;
    channel: number;
    /** Of a header of a message: the size of its content. */
    size?: number;
    fields?: Record<string, unknown>;
  }

  export interface RawFrame {
    type: number;
    channel: number;
    payload: Buffer;
    /** Bytes after it. */
    rest: Buffer;
  }

  /** False if it is no whole frame. */
  export function parseFrame(bytes: Buffer, max: number): RawFrame | false;
  export function decodeFrame(frame: RawFrame): Frame;
}

declare module '*/amqplib/lib/channel_model.js' {
  export const ChannelModel: new (
    connection: import('node:events').EventEmitter,
  ) => import('amqplib').ChannelModel;
}
