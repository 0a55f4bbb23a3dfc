import { describe, expect, test } from 'vitest';
import {
  countHangUp,
  forgetHangUps,
  inTurn,
  KnownVersion,
  mayBeConflict,
  rememberServer,
  takenOver,
} from './broker-memory.ts';

const endpoint = (host: string) => ({ host, port: 1883, tls: false });
const hourMs = 3_600_000;

describe('the memory of brokers', () => {
  test('puts the server that worked last first, for this list only', () => {
    const [a, b, c] = [endpoint('a'), endpoint('b'), endpoint('c')];
    expect(inTurn('mqtt://a,mqtt://b,mqtt://c', [a, b, c])).toEqual([a, b, c]);
    rememberServer('mqtt://a,mqtt://b,mqtt://c', b);
    expect(inTurn('mqtt://a,mqtt://b,mqtt://c', [a, b, c])).toEqual([b, a, c]);
    expect(inTurn('mqtt://a,mqtt://b', [a, b])).toEqual([a, b]);
  });

  test('keeps a version for an hour, per address, until it is forgotten', () => {
    const versions = new KnownVersion('mqtt://a', endpoint('a'));
    expect(versions.get()).toBeUndefined();
    versions.remember(4, 1_000);
    expect(versions.get(hourMs)).toBe(4);
    expect(versions.get(hourMs + 1_000)).toBeUndefined();
    expect(new KnownVersion('mqtt://a:1884', endpoint('a')).get(1_000)).toBeUndefined();
    versions.remember(5, 2_000);
    expect(versions.get(2_000)).toBe(5);
    versions.forget();
    expect(versions.get(2_000)).toBeUndefined();
  });

  test('is bounded', () => {
    const first = new KnownVersion('mqtt://first', endpoint('first'));
    first.remember(4, 0);
    for (let index = 0; index < 1_000; index += 1) {
      new KnownVersion(`mqtt://h${index}`, endpoint('h')).remember(4, 0);
    }
    expect(first.get(0)).toBeUndefined();
  });
});

describe('the memory of takeovers', () => {
  test('lasts a minute and is bounded', () => {
    expect(takenOver('a', 0).code).toBe('connection_lost');
    expect(takenOver('a', 59_000).code).toBe('mqtt_client_id_in_use');
    expect(takenOver('a', 200_000).code).toBe('connection_lost');
    for (let index = 0; index < 1_000; index += 1) takenOver(`other ${index}`, 200_001);
    expect(takenOver('a', 200_002).code).toBe('connection_lost');
  });
});

describe('the memory of closed connections', () => {
  test('counts the last minute, suspects a conflict at three, and restarts when forgotten', () => {
    expect([countHangUp('b', 0), countHangUp('b', 30_000)]).toEqual([1, 2]);
    expect(mayBeConflict('b', 30_000)).toBe(false);
    expect(countHangUp('b', 59_000)).toBe(3);
    expect(mayBeConflict('b', 59_000)).toBe(true);
    expect(mayBeConflict('c', 59_000)).toBe(false);
    expect(mayBeConflict('b', 61_000)).toBe(false);
    expect(countHangUp('b', 61_000)).toBe(3);
    forgetHangUps('b');
    expect(mayBeConflict('b', 61_000)).toBe(false);
    expect(countHangUp('b', 61_001)).toBe(1);
  });
});
