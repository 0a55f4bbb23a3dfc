import { connect, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import type { Sink, Source } from '../../src/connectors/connector.ts';
import { openSink } from '../../src/connectors/mqtt/sink/sink.ts';
import { openSource } from '../../src/connectors/mqtt/source/source.ts';
import { startAedes } from './aedes-broker.ts';
import { atEnd } from './at-end.ts';
import { FaultyServer } from './faulty-server.ts';
import { Mosquitto, type MosquittoOptions } from './mosquitto.ts';
import { type MqttContext, plainClient, Reader } from './mqtt.ts';
import { type Script, ScriptedBroker } from './scripted-broker.ts';

/** Brokers, clients and connections that end by themselves: see `atEnd`. */

export const mosquitto = (options?: MosquittoOptions): Promise<Mosquitto> => Mosquitto.start(options);

/** A broker that speaks 3.1.1 only. */
export const aedes = startAedes;

export const scripted = (script?: Script): Promise<ScriptedBroker> => ScriptedBroker.start(script);

export const faulty = (serve: Parameters<typeof FaultyServer.start>[0]): Promise<FaultyServer> =>
  FaultyServer.start(serve);

export const ordinaryClient = plainClient;

export async function openedSink(...given: Parameters<typeof openSink>): Promise<Sink> {
  const sink = await openSink(...given);
  atEnd(() => sink.close());
  return sink;
}

export async function openedSource(context: MqttContext): Promise<{ source: Source; reader: Reader }> {
  const source = await openSource(context);
  atEnd(() => source.close());
  return { source, reader: new Reader(source) };
}

/**
 * A client that reconnects whenever it loses its connection, and acknowledges nothing. Ends with its test, or when the
 * returned function is called.
 */
export function conflictingClient(port: number, clientId: string, clean: boolean): () => void {
  let ended = false;
  let socket: Socket;
  const come = () => {
    if (ended) return;
    socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.write(generate({ cmd: 'connect', protocolVersion: 4, clean, clientId, keepalive: 0 }));
    socket.resume().once('close', () => setTimeout(come, 100));
  };
  come();
  const end = () => {
    ended = true;
    socket.destroy();
  };
  atEnd(end);
  return end;
}
