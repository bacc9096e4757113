/**
 * For tests of applications: a cluster of real replicas with switches to break it, and a store in memory for the unit tests of
 * procedures.
 *
 * @packageDocumentation
 */
export { FAILPOINTS } from '../base/failpoints.js';
export { type Random, seededRandom } from '../base/random.js';
export { bundleProcedures } from '../compute/bundle.js';
export { type TestCallOptions, TestStore } from '../compute/test-store.js';
export { type LinkShape, LocalCluster, type LocalClusterOptions } from './local-cluster.js';
export { type WaitOptions, waitUntil } from './wait-until.js';
