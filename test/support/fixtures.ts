import { connect, type Socket } from 'node:net';
import type { MqttClient } from 'mqtt';
import { generate } from 'mqtt-packet';
import { afterAll, onTestFinished } from 'vitest';
import type { Sink, Source } from '../../src/connectors/connector.ts';
import { openSink } from '../../src/connectors/mqtt/sink/sink.ts';
import { openSource } from '../../src/connectors/mqtt/source/source.ts';
import { type AedesBroker, startAedes } from './aedes-broker.ts';
import { FaultyServer } from './faulty-server.ts';
import { Mosquitto, type MosquittoOptions } from './mosquitto.ts';
import { type MqttContext, plainClient, Reader } from './mqtt.ts';
import { type Script, ScriptedBroker } from './scripted-broker.ts';

/** Brokers, clients and connections that end with their test, the newest first, or with their file. */

/** A mosquitto for all tests of a file; call it at the top of the file. */
export async function sharedMosquitto(options?: MosquittoOptions): Promise<Mosquitto> {
  const broker = await Mosquitto.start(options);
  afterAll(() => broker.stop());
  return broker;
}

/** A mosquitto for one test. */
export async function mosquitto(options?: MosquittoOptions): Promise<Mosquitto> {
  const broker = await Mosquitto.start(options);
  onTestFinished(() => broker.stop());
  return broker;
}

/** A broker that speaks 3.1.1 only. */
export async function aedes(tls?: Parameters<typeof startAedes>[0]): Promise<AedesBroker> {
  const broker = await startAedes(tls);
  onTestFinished(() => broker.stop());
  return broker;
}

export async function scripted(script: Script = {}): Promise<ScriptedBroker> {
  const broker = await ScriptedBroker.start(script);
  onTestFinished(() => broker.stop());
  return broker;
}

export async function faulty(serve: Parameters<typeof FaultyServer.start>[0]): Promise<FaultyServer> {
  const server = await FaultyServer.start(serve);
  onTestFinished(() => server.stop());
  return server;
}

/** An ordinary client. */
export async function ordinaryClient(url: string, options?: object): Promise<MqttClient> {
  const opened = await plainClient(url, options);
  onTestFinished(() => opened.endAsync());
  return opened;
}

export async function openedSink(...given: Parameters<typeof openSink>): Promise<Sink> {
  const sink = await openSink(...given);
  onTestFinished(() => sink.close());
  return sink;
}

export async function openedSource(context: MqttContext): Promise<{ source: Source; reader: Reader }> {
  const source = await openSource(context);
  onTestFinished(() => source.close());
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
  onTestFinished(end);
  return end;
}
