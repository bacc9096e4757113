/** For harnesses of this project beside `LocalCluster`: what they need of the rooms that only the cluster may enter. */
export { FAILPOINTS } from '../base/failpoints.js';
export { type Random, seededRandom } from '../base/random.js';
export { bundleProcedures } from '../compute/bundle.js';
export type { LinkShape } from './flow.js';
export { type WaitOptions, waitUntil } from './wait-until.js';
