import { describe, expect, test } from 'vitest';
import { absolve, hungUp, isSuspicious, takenOver } from './takeover.ts';

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
  test('counts those of a minute, is suspicious of three, and begins anew when absolved', () => {
    expect([hungUp('b', 0), hungUp('b', 30_000)]).toEqual([1, 2]);
    expect(isSuspicious('b', 30_000)).toBe(false);
    expect(hungUp('b', 59_000)).toBe(3);
    expect(isSuspicious('b', 59_000)).toBe(true);
    expect(isSuspicious('c', 59_000)).toBe(false);
    expect(isSuspicious('b', 61_000)).toBe(false);
    expect(hungUp('b', 61_000)).toBe(3);
    absolve('b');
    expect(isSuspicious('b', 61_000)).toBe(false);
    expect(hungUp('b', 61_001)).toBe(1);
  });
});
