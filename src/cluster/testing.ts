/**
 * For tests of applications: a cluster of real replicas with switches to break it, and a store in memory for the unit tests of
 * procedures.
 *
 * @packageDocumentation
 */
export { type DueCall, type TestCallOptions, TestStore } from '../compute/test-store.js';
export { LocalCluster, type LocalClusterOptions } from './local-cluster.js';
