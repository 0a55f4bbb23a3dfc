/** The name of a test, or of a group, with the reason to skip it, for the end of the report: see `SkippedReporter`. */
export const skipping = (name: string, reason: string | undefined): string =>
  reason === undefined ? name : `${name} (skipped: ${reason})`;

/** Why a test is skipped that only the soak runs. */
export const onlyInSoak = process.env.PENSTOCK_SOAK === '1' ? undefined : 'it takes minutes (npm run soak)';
