import { describe, expect, test } from 'vitest';
import { inTurn, KnownVersions, rememberServer } from './known-brokers.ts';

const endpoint = (host: string) => ({ host, port: 1883, tls: false });
const hourMs = 3_600_000;

describe('what is known of brokers', () => {
  test('puts the server that worked last first, for this list only', () => {
    const [a, b, c] = [endpoint('a'), endpoint('b'), endpoint('c')];
    expect(inTurn('mqtt://a,mqtt://b,mqtt://c', [a, b, c])).toEqual([a, b, c]);
    rememberServer('mqtt://a,mqtt://b,mqtt://c', b);
    expect(inTurn('mqtt://a,mqtt://b,mqtt://c', [a, b, c])).toEqual([b, a, c]);
    expect(inTurn('mqtt://a,mqtt://b', [a, b])).toEqual([a, b]);
  });

  test('holds for an hour, for one address, until it is forgotten', () => {
    const versions = new KnownVersions('mqtt://a', endpoint('a'));
    expect(versions.known).toBeUndefined();
    versions.remember(4, 1_000);
    expect(versions.knownAt(hourMs)).toBe(4);
    expect(versions.knownAt(hourMs + 1_000)).toBeUndefined();
    expect(new KnownVersions('mqtt://a:1884', endpoint('a')).knownAt(1_000)).toBeUndefined();
    versions.remember(5, 2_000);
    expect(versions.knownAt(2_000)).toBe(5);
    versions.forget();
    expect(versions.knownAt(2_000)).toBeUndefined();
  });

  test('is bounded', () => {
    const first = new KnownVersions('mqtt://first', endpoint('first'));
    first.remember(4, 0);
    for (let index = 0; index < 1_000; index += 1) {
      new KnownVersions(`mqtt://h${index}`, endpoint('h')).remember(4, 0);
    }
    expect(first.knownAt(0)).toBeUndefined();
  });
});
