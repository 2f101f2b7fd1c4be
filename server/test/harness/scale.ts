/** `npm run test:soak` runs the same tests at full figures and with a fresh seed. */
export const isSoak = process.env.GATELODGE_TEST_SCALE === 'soak';

/** The figure of a test: small and quick in CI, full in a soak run. */
export function scaled(small: number, full: number): number {
  return isSoak ? full : small;
}
