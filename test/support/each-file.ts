// Runs before each test file, also when files share their modules.
import fc from 'fast-check';
import { afterAll } from 'vitest';
import { endFile } from './at-end.ts';

// A check uses the same cases each time, so that only a change can break it; a soak uses new ones.
if (process.env.PENSTOCK_SOAK !== '1') fc.configureGlobal({ seed: 5115 });

afterAll(endFile);
