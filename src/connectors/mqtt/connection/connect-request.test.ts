import { describe, expect, test } from 'vitest';
import type { Identity } from '../../connector.ts';
import { clientId } from './connect-request.ts';

describe('a client id', () => {
  const identity: Identity = { jobId: 'job_0aZ', operatorId: 'source_1', taskIndex: 3 };

  test('names the task and stays the same', () => {
    expect(clientId({ url: '' }, identity)).toBe('penstock_job_0aZ_source_1_3');
    expect(clientId({ url: '', clientPrefix: 'acme' }, identity)).toBe('acme_job_0aZ_source_1_3');
  });

  test('has only characters that every broker accepts, a bounded length, and is unique', () => {
    const odd = ['a b', 'a.b', 'a/b', 'x'.repeat(70_000), `${'x'.repeat(70_000)}y`];
    const ids = odd.map((operatorId) => clientId({ url: '' }, { ...identity, operatorId }));
    for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z_-]{1,256}$/);
    expect(new Set(ids).size).toBe(odd.length);
  });
});
