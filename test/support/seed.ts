// A check tries the same cases each time, so that it fails for what was changed; a soak looks for new ones.
import fc from 'fast-check';

if (process.env.PENSTOCK_SOAK !== '1') fc.configureGlobal({ seed: 5115 });
