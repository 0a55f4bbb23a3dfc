import { describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { createPipeline, createTables, jobOf } from '../support/resources.ts';
import { startService } from '../support/service.ts';

describe.each(databases)('groups of errors on $provider', ({ open }) => {
  test('count errors and warnings by code and level, newest first', async () => {
    const { request, db } = await startService({ open });
    await createTables(request, 'mqtt://127.0.0.1:1');
    const pipeline = await createPipeline(request, 'INSERT INTO alerts SELECT * FROM readings');
    const { id: jobId } = await jobOf(request, pipeline);
    const path = `/api/v1/pipelines/${pipeline}/jobs/${jobId}/error_groups`;
    expect((await request.get(path).expect(200)).body).toEqual({ data: [] });
    const data = [
      ['warn', 'connection_lost'],
      ['info', 'connection_lost'],
      ['error', 'bad_data'],
      ['warn', 'connection_lost'],
      ['error', 'connection_lost'],
      ['warn', null],
    ].map(([level, code], index) => ({
      ...{ id: `jlm_${index}`, jobId, level: level as string, code: code as string | null },
      ...{ createdAt: BigInt(1000 + index), message: `message ${index}`, details: '{}' },
    }));
    await db.jobMessage.createMany({ data });
    const group = (code: string | null, level: string, first: number, last: number, count: number) => ({
      ...{ code, level, count, first_at: 1000 + first, last_at: 1000 + last, message: `message ${last}` },
    });
    expect((await request.get(path).expect(200)).body.data).toEqual([
      group(null, 'warn', 5, 5, 1),
      group('connection_lost', 'error', 4, 4, 1),
      group('connection_lost', 'warn', 0, 3, 2),
      group('bad_data', 'error', 2, 2, 1),
    ]);
    await request.get(`/api/v1/pipelines/pl_none/jobs/${jobId}/error_groups`).expect(404);
  });
});
