import { expect, test } from 'vitest';
import { transactionHint } from './cluster.ts';
import { markOf, readMark } from './group.ts';

const topic = { name: 't', id: '0f8fad5b-d9cb-469f-a165-70867728950e', leaders: new Map() };
const known = { ...topic, may: { read: true, write: true } };

test.each(['penstock-1-op/t/0-of-1', 'two words/t/1-of-2', 'a, written by b\nc/t/0-of-1', undefined])(
  'the metadata of an offset name partitions, topic and owner: %j',
  (owner) => {
    expect(readMark(markOf(known, 3, owner))).toEqual({ partitions: 3, topic: topic.id, owner });
    expect(readMark(markOf({ ...known, id: '' }, 3, owner))).toEqual({
      partitions: 3,
      topic: undefined,
      owner,
    });
  },
);

test('other metadata name nothing', () => {
  for (const metadata of [null, '', 'mine'])
    expect(readMark(metadata)).toEqual({ partitions: 0, topic: undefined, owner: undefined });
});

test.each([
  ['penstock-1-op/readings/0-of-1', 'penstock-'],
  ['plant-penstock-1-op/readings/0-of-1', 'plant-penstock-'],
  ['copies/my-penstock-topic/claim', 'copies/'],
  ['a/b c/readings/claim', 'a/b c/'],
])('the permission for %s is one for %s', (id, prefix) => {
  expect(transactionHint(id)).toContain(`--transactional-id '${prefix}' --resource-pattern-type prefixed`);
});
