// A check uses the same cases each time, so that only a change can break it; a soak uses new ones.
import fc from 'fast-check';

if (process.env.PENSTOCK_SOAK !== '1') fc.configureGlobal({ seed: 5115 });
