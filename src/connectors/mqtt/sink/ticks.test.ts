import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { until } from '../../../../test/support/until.ts';
import { Silence } from './ticks.ts';

function listening(ms: number, isDue: () => boolean) {
  const found = { silences: 0 };
  const silence = new Silence(ms, isDue, () => {
    found.silences += 1;
  });
  atEnd(() => silence.stop());
  return { silence, found };
}

test('silence is noticed while something is due', async () => {
  let due = false;
  const { found } = listening(30, () => due);
  const other = listening(30, () => true);
  await until('the other one to notice it', () => other.found.silences > 0);
  expect(found.silences).toBe(0);
  due = true;
  await until('it to be noticed', () => found.silences > 0);
});

test('a process that was held up first hears what has come in the meantime', async () => {
  const { silence, found } = listening(120, () => true);
  const end = performance.now() + 400;
  while (performance.now() < end);
  for (let turns = 0; turns < 3; turns += 1) await turn();
  expect(found.silences).toBe(0);
  silence.heard();
});
